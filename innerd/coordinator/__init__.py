"""The coordinator's engine: one writer (`writer`), everything that follows it (`feed`), its own interface
(`device_sync`).

A command is decided on the newest network, which may not be committed yet; its records are gathered with others'
into one transaction; only after the commit is it answered and published. Followers are called in order, in the
loop, and must be quick; one that fails keeps its last good answer, and is counted.
"""

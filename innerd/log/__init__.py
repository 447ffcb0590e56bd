"""The log: append-only, hashed, in SQLite (or in memory, for tests and for trying things).

An event becomes a *record*: its envelope as JSON bytes (`codec`), a random salt, and a link of the hash chain
(`chain`). The store (`store`, `sqlite`, `memory`) takes bytes and gives bytes back: it knows nothing of networks.
In the same transaction as the records go the rows of the read models that changed (`projection`) and the answers
of commands that carried an id.
"""

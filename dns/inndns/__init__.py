"""DNS for one network: an authoritative server for `<network>.<suffix>` and the reverse zones of its range.

`message` reads questions strictly and writes answers, `zone` knows what is so and who may see it, `records` what
stands beside the names of peers, `reverse` how addresses are names, `server` moves bytes, those of TCP by its
`connection`s. Who asks is the source address, which WireGuard has
authenticated; what the asker can't see does not exist for it. Never recursive, never forwarding.
"""

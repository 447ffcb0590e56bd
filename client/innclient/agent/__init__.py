"""What keeps one machine in its network.

`state` is what the coordinator told (a value; snapshots and deltas in), `pins` which keys may be believed,
`reconcile` what the device should be: pure, all three, and `core` is made of them. `disk` keeps the first two across
restarts, `tunnel` drives the device and `applier` keeps it as the core wants it, `ways` finds ways to peers, `names`
and `stub` answer for names, `stream` holds the connection, `keeper` is the loop around them, `door` the local socket.
"""

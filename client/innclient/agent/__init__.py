"""What keeps one machine in its network.

`state` is what the coordinator told (a value; snapshots and deltas in), `pins` which keys may be believed,
`reconcile` what the device should be: pure, all three. `disk` keeps the first two across restarts, `tunnel` drives
the device, `stream` holds the connection, `keeper` is the loop around them, `door` the local socket.
"""

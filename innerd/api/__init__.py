"""The HTTP API: one ASGI app, reached over the tunnel, over the control socket or in the same process.

`compat` is the door: innernet's path rules, the guards and who is asking (`sessions`). Behind it are the routes:
`user`, `admin`, the event stream (`stream`), `metrics`. `services` is what they work with, built by the
composition root.
"""

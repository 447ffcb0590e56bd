"""The HTTP API: one ASGI app, reached over the tunnel, over the control socket or in the same process.

`gate` is in front: what a source may cost and when it is read (`sources`, `readings`, `turns`), innernet's path rules
(`paths`), the guards, and who is asking (`callers`). Behind it are the routes: `user`, `admin`, `inspect` and `audit`,
the two streams (`stream`, `follow`), `metrics`; `handling` is what every route does the same way. `services` is what
they work with, built by the composition root.
"""

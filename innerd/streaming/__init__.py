"""What peers are told, as it happens: the engine behind `GET /v1/user/events`. It knows no HTTP.

`hub` holds who has a stream, from its greeting to its end; `registry` the open ones, by class; `sender` marks those
that a change concerns and tells each what differs from what it knew; `frames` encodes that, once for each class.
`rendezvous` names moments at which two peers begin to look for each other, `convergence` knows how far each is,
`checkpoints` what is signed of the log, `ahead` who saw more of it than there is, `limits` how often a peer may ask.
"""

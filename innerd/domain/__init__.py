"""The network, and nothing but: pure values and functions, no I/O, no clock, no randomness.

A **network** is peers, CIDRs and associations. **CIDRs** are named blocks of addresses in a tree: siblings never
overlap, a child lies inside its parent; CIDR 1 is the root, CIDR 2 the infra CIDR of the coordinator. A **peer**
is a machine with one address for ever, and belongs to the narrowest CIDR that contains it: nobody says where a
peer belongs, its address does. An **association** joins two CIDRs, and so everything below them.

A peer is added with the key of its **invitation**, redeems that for its own key, can be disabled and enabled, and
at last is retired. Before redemption it can be deleted or expire, which frees name and address; a retired peer's
address and every key that was ever used stay taken, because clients have pinned them.

How it moves: `decide(network, command, now)` gives the events of a command or raises `Refused`;
`evolve(network, event)` takes one in (`network.py`). `visibility.py` says who sees whom, `netmap.py` what a peer
is told of it, `diff.py` what a change means in pairs of peers.
"""

"""The rules of an agent, pure: no loop, no socket, no disk, no clock. Events come in, commands go out (`agent`).

Read in this order: `netmap` is what this peer was told, `pins` which keys may be believed, `trials` where silent peers
are tried and what the device should be; `membership` is made of these three: frames in, changes of the device out.
`agent` decides in which order that is done, by `events` and `commands`: `device` takes a change through its steps,
`connection` knows whether there is a coordinator, `memory` what is written and reported. `paths` and `traversal` find
ways to peers. `witness` keeps what the coordinator signed, `changes` says in words what is new, `status` what a person
is shown.

A test of the agent is a play (tests/client/test_plays.py): events in, commands out, in order.
"""

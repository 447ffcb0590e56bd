"""Every verb of administrators, once: over the tunnel (`inn`), the control socket or in-process (`innerd`).

`verb` makes a command of a function, `transport` carries its requests by any of the three ways (`client` is the one
through the tunnel), `ways` is where a program leaves it, `naming` and `several` say whom a verb is about, `waiting` is
`--wait`. The verbs are in `peers`, `invites`, `cidrs`, `records`, `lists`, `inspect` and `network`; `invitation` is the
file that a new peer is handed.
"""

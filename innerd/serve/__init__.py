"""`innerd serve`: what is made of what, in which order it starts and stops.

`coordinator` is the composition root; `opened` gives a network with its API and nothing that listens, which is enough
for a verb in the same process; `device` brings the interface up. `listener` is uvicorn on our own sockets (`lanes`,
`arrivals`, `unread`), `exposing` the metrics page for the host itself, `dns` names on the tunnel, `hosts` names on this
host. `holding`, `unopened` and `heads` are about whose log it is and whether it is whole; `housekeeping` is what is
done beside; `status_line` says how it is.
"""

"""What goes over HTTP: JSON shapes and how they become the domain's values and back. Pure.

`innernet` has innernet's own shapes (the contract with its clients), `ours` what we add, `stream` the frames of the
event stream, `problems` errors (RFC 9457), `proof` the admin proof. Protocol versions:

    1   2026-11   the first
"""

PROTOCOL = 1

"""The blind relay: carries what two peers send each other by way of this host's WireGuard port, where neither can be
reached by the other. It reads none of it: a handshake says in clear for whom it is (mac1), all else by an index.

`messages` and `table` are pure. Two edges carry data, as the table says: `kernel` (nftables at ingress, by `nftables`
and `elements`) and `userspace`; `relay` ties them to sockets and to what WireGuard knows of where peers are.
"""

TABLES = "innerd-"  # the names of its tables begin so

"""The client `inn`: joins a network, keeps one machine in it (`agent`), and administers it (`admin`).

`admin` has every verb of administrators once, for `inn` and `innerd` alike; what differs is the transport.
"""

"""What a program leaves in click's meta for its verbs: the way to the coordinator, and to a peer."""

CONNECT = "innclient.connect"  # a Connect: how a verb comes to speak with the coordinator of a network
WAY = "innclient.way"  # how a peer is reached from this machine, on a client

"""The client `inn`: joins a network, keeps one machine in it, and administers it.

    cli                 the command
    verbs · join        verbs about this machine; how it becomes a peer
    agent               the shell: loops, sockets, the device, the disk
    names               this network's names on this host
    config              the config file, and where everything of an interface lies
    core                the rules, pure: what is told becomes what the device should be

The verbs of administrators are `innerd.admin`'s, for both commands.
"""

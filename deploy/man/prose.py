"""What the man pages say beside what the commands say of themselves."""

STATUSES = {
    0: "Done, or already so.",
    1: "Internal error: a bug. The hint names the file with the details.",
    2: "Usage: wrong flags, values that can't be read, a broken configuration file or one that others may read.",
    3: "Refused by a rule of the network, or by who you are.",
    4: "Not found: network, peer, CIDR, association.",
    5: "The coordinator can't be reached, or can't write.",
    6: "WireGuard, netlink or the operating system refused; not root.",
    7: "Trust broken: pinned key changed, log rewound, forked or corrupt.",
    8: "Invitation expired, used or unreadable.",
    130: "Interrupted, or a question was answered with no.",
}

FILES = {
    "innerd": {
        "/etc/innerd/NETWORK.toml": "Configuration of a network, with the coordinator's private key: mode 0600.",
        "/var/lib/innerd/NETWORK.db": "Its log, an SQLite database; beside it -wal, -shm and -lock.",
        "/run/innerd/NETWORK.sock": "The control socket of who serves it.",
        "/etc/hosts": "Holds a block with the names of the peers.",
    },
    "inn": {
        "/etc/inn/INTERFACE.toml": "Configuration of a membership, with this machine's private key: mode 0600.",
        "/var/lib/inn/INTERFACE/": "What was learned: the netmap, the pinned keys, what was told.",
        "/run/inn/INTERFACE.sock": "The agent's socket; beside it a .lock.",
        "/etc/hosts": "Holds a block with the names of the peers, where nothing better resolves them.",
    },
}

ENVIRONMENT = {
    "_CONFIG_DIR": "Folder of configuration files; the flag goes before it.",
    "_DATA_DIR": "Folder of data.",
    "_RUNTIME_DIR": "Folder of sockets and locks.",
}

# Of the programs: what to do and what to type. Those of the verbs are in their help (innerd.command.guide).
EXAMPLES = {
    "innerd": [
        (
            "Make a network, a group of addresses, an administrator, and serve:",
            """innerd new --network-name kermpany --network-cidr 10.42.0.0/16 \\
  --external-endpoint vpn.example.com:51820 --listen-port 51820
innerd add-cidr kermpany --name humans --cidr 10.42.128.0/17 --parent kermpany
innerd add-peer kermpany --name ryo --cidr humans --auto-ip --admin true \\
  --invite-expires 14d --save-config ryo.toml
systemctl enable --now innerd@kermpany""",
        ),
        ("Who changed what since yesterday:", "innerd audit kermpany --since 1d"),
    ],
    "inn": [
        ("Join a network and stay in it:", "inn install ryo.toml\nsystemctl enable --now inn@kermpany"),
        ("Who is there, and how each is reached:", "inn show"),
        (
            "As an administrator, see what a change would do before it is made:",
            "inn add-association kermpany humans servers --dry-run",
        ),
    ],
}

# What there is to say of some verbs beside what they say of themselves.
PAGES = {
    "innerd new": [
        "What is not given as a flag is asked for on a terminal. Nothing that exists is touched: a network of that "
        "name is refused (network_exists).",
    ],
    "innerd serve": [
        "The tunnel stays up when the service ends, and peers go on reaching each other. As a service it is "
        "innerd@NETWORK, which systemd starts again after a failure, but not after the exit statuses 2, 3, 4 and 7: "
        "trying again would not mend those.",
        "systemd is told when the network is served (READY=1), and twice in each WatchdogSec that the event loop is "
        "alive.",
    ],
    "inn install": [
        "The invitation is a file that an administrator made with add-peer. Its key is good once: it is swapped for "
        "one that is made here and that nobody else ever sees. Interrupted, even by a kill, the installation goes on "
        "when it is run again.",
        "The flags are kept in the configuration, so that the service that follows needs none.",
    ],
    "inn up": [
        "With -d it stays, holds the event stream and applies each change at once; that is what the service "
        "inn@INTERFACE runs. It needs no network to start: what was known is applied, and the coordinator is asked "
        "until it answers.",
    ],
    "inn doctor": [
        "Each check is ok, a warning, failed or unknown, with the fix in words. The exit status is that of the first "
        "one that failed.",
    ],
}

SEE_ALSO = ("systemctl(1)", "journalctl(1)", "wg(8)", "resolvectl(1)")
DOCUMENTS = "/usr/share/doc/innerd"

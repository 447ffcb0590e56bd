"""What help, man pages and the reference say of the verbs beside the verbs' own words: in which group each stands, and
two examples of each. Read only where help is shown or pages are made.
"""

import re
from collections.abc import Iterator

_PEERS = (
    *("add-peer", "rename-peer", "disable-peer", "enable-peer", "retire-peer", "delete-peer"),
    *("grant-admin", "revoke-admin", "reissue-invite", "export", "list-peers", "list-invites"),
)
_LINKS = (
    *("add-cidr", "rename-cidr", "delete-cidr", "list-cidrs"),
    *("add-association", "delete-association", "list-associations"),
    *("add-record", "delete-record", "list-records"),
)
_HELP = ("help", "completions")

# Program, title, and the verbs in the order in which one comes to need them.
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "innerd": {
        "Coordinator": (
            *("new", "init", "serve", "set-endpoint", "allow-relay", "disallow-relay"),
            *("backup", "restore", "verify", "rebuild", "import-innernet", "uninstall"),
        ),
        "Peers": _PEERS,
        "Groups and links": _LINKS,
        "Look": ("show", "status", "why", "audit", "convergence", "doctor"),
        "Help": _HELP,
    },
    "inn": {
        "This machine": (
            *("install", "redeem", "up", "fetch", "down", "set-listen-port", "override-endpoint"),
            *("override-peer-endpoint", "trust", "import-innernet", "uninstall"),
        ),
        "Look": ("show", "list", "status", "events", "why", "audit", "convergence", "doctor", "verify"),
        "Peers": _PEERS,
        "Groups and links": _LINKS,
        "Help": _HELP,
    },
}
_AT = re.compile(r"(?<!\w)@")
ALIASES = {"init": "new", "redeem": "install", "list": "show"}

# What to do, and what to type: `@` is the program, but for the one in a unit's name (inn@kermpany). A verb of one
# program, or one that says other things there, is
# under "program verb".
_EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "add-peer": (
        ("Asked for all that is needed", "@ add-peer kermpany"),
        (
            "Without a question, for scripts",
            "@ add-peer kermpany --name ryo --cidr humans --auto-ip \\\n"
            "  --admin false --invite-expires 14d --save-config ryo.toml",
        ),
    ),
    "rename-peer": (
        ("Choose the peer, and say its new name", "@ rename-peer kermpany"),
        ("Both named", "@ rename-peer kermpany ryo ryo-laptop"),
    ),
    "disable-peer": (
        ("Choose among those that are not", "@ disable-peer kermpany"),
        ("Wait until all others have let go of it", "@ disable-peer kermpany ryo --yes --wait"),
    ),
    "enable-peer": (
        ("Choose among those that are disabled", "@ enable-peer kermpany"),
        ("Two that are named", "@ enable-peer kermpany ryo mari"),
    ),
    "retire-peer": (
        ("See who loses sight of it before", "@ retire-peer kermpany ryo --dry-run"),
        ("For good", "@ retire-peer kermpany ryo --yes"),
    ),
    "delete-peer": (
        ("Choose among those that never joined", "@ delete-peer kermpany"),
        ("One that is named", "@ delete-peer kermpany ryo --yes"),
    ),
    "grant-admin": (
        ("Choose the peer", "@ grant-admin kermpany"),
        ("One that is named", "@ grant-admin kermpany ryo"),
    ),
    "revoke-admin": (
        ("Choose among the admins", "@ revoke-admin kermpany"),
        ("One that is named", "@ revoke-admin kermpany ryo --yes"),
    ),
    "reissue-invite": (
        (
            "The old one is void at once",
            "@ reissue-invite kermpany ryo --invite-expires 7d \\\n  --save-config ryo.toml",
        ),
        (
            "Straight to the machine that joins",
            "@ reissue-invite kermpany ryo --invite-expires 1h \\\n"
            "  --save-config - | ssh ryo tee ryo.toml > /dev/null",
        ),
    ),
    "export": (
        ("A plain peer's file, as the network is now", "@ export kermpany phone"),
        ("Into a new file, with another resolver", "@ export kermpany phone --save-config phone-2.conf --dns 9.9.9.9"),
    ),
    "list-peers": (
        ("With state, rights and endpoint", "@ list-peers kermpany"),
        ("Some columns, again and again", "@ list-peers kermpany --columns name,ip,state --watch"),
    ),
    "list-invites": (
        ("Who has not joined, and until when it can", "@ list-invites kermpany"),
        ("For a script", "@ list-invites kermpany --json"),
    ),
    "add-cidr": (
        (
            "A group of addresses",
            "@ add-cidr kermpany humans 10.42.128.0/17 --parent kermpany",
        ),
        (
            "What would move into it, before it does",
            "@ add-cidr kermpany build 10.42.130.0/24 \\\n  --parent humans --dry-run",
        ),
    ),
    "rename-cidr": (
        ("Choose the CIDR, and say its new name", "@ rename-cidr kermpany"),
        ("Both named", "@ rename-cidr kermpany humans people"),
    ),
    "delete-cidr": (
        ("Choose one that nothing hangs on", "@ delete-cidr kermpany"),
        ("One that is named", "@ delete-cidr kermpany build --yes"),
    ),
    "list-cidrs": (
        ("As a tree", "@ list-cidrs kermpany --tree"),
        ("For a script", "@ list-cidrs kermpany --json"),
    ),
    "add-association": (
        ("See who would reach whom, before", "@ add-association kermpany humans servers --dry-run"),
        ("Let them", "@ add-association kermpany humans servers"),
    ),
    "delete-association": (
        ("Choose it", "@ delete-association kermpany"),
        ("Wait until nobody has the other any more", "@ delete-association kermpany humans servers --yes --wait"),
    ),
    "list-associations": (
        ("Which CIDRs are joined", "@ list-associations kermpany"),
        ("For a script", "@ list-associations kermpany --json"),
    ),
    "add-record": (
        ("A second name of a peer", "@ add-record kermpany git CNAME ryo"),
        ("All names below a peer's", "@ add-record kermpany '*.app.ryo' CNAME ryo"),
    ),
    "delete-record": (
        ("By its name", "@ delete-record kermpany git"),
        ("By its number, as list-records shows it", "@ delete-record kermpany --id 3"),
    ),
    "list-records": (
        ("All names beside the peers' own", "@ list-records kermpany"),
        ("For a script", "@ list-records kermpany --json"),
    ),
    "why": (
        ("Two peers, and the rule by which they meet", "@ why kermpany ryo db1"),
        ("As it was last week", "@ why kermpany ryo db1 --at 7d"),
    ),
    "audit": (
        ("Who changed what since yesterday", "@ audit kermpany --since 1d"),
        ("All that ryo does, as it happens", "@ audit kermpany --actor ryo --follow"),
    ),
    "convergence": (
        ("Who has not applied the newest change", "@ convergence kermpany"),
        ("For a monitor", "@ convergence kermpany --json"),
    ),
    "doctor": (
        ("What is wrong on this host, and what helps", "@ doctor kermpany"),
        ("For a monitor", "@ doctor kermpany --json"),
    ),
    "help": (
        ("All verbs", "@ help"),
        ("One verb with its flags and examples", "@ help add-peer"),
    ),
    "completions": (
        ("For everybody's bash", "@ completions bash > /etc/bash_completion.d/@"),
        ("For one's own fish", "@ completions fish > ~/.config/fish/completions/@.fish"),
    ),
    "innerd new": (
        ("Asked for all that is needed", "innerd new"),
        (
            "Without a question, for scripts",
            "innerd new --network-name kermpany --network-cidr 10.42.0.0/16 \\\n"
            "  --external-endpoint vpn.example.com:51820 --listen-port 51820",
        ),
    ),
    "innerd serve": (
        ("As a service, from now on and after each boot", "systemctl enable --now innerd@kermpany"),
        ("In a terminal, saying everything", "innerd serve kermpany -vv"),
    ),
    "innerd set-endpoint": (
        ("This host moves", "innerd set-endpoint kermpany vpn2.example.com:51820"),
        ("And all that are connected know it", "innerd set-endpoint kermpany 203.0.113.7:51820 --yes --wait"),
    ),
    "innerd allow-relay": (
        ("For peers that have no other way to each other", "innerd allow-relay kermpany"),
        ("And all that are connected know it", "innerd allow-relay kermpany --wait"),
    ),
    "innerd disallow-relay": (
        ("See what would change, and change nothing", "innerd disallow-relay kermpany --dry-run"),
        ("From now on each pair has its own way or none", "innerd disallow-relay kermpany"),
    ),
    "innerd backup": (
        ("Log and keys in one file, served or not", "innerd backup kermpany /root/kermpany.backup"),
        ("One that need not be kept secret", "innerd backup kermpany log.backup --without-keys"),
    ),
    "innerd restore": (
        ("Here, or on a new host", "innerd restore /root/kermpany.backup"),
        ("For a script", "innerd restore /root/kermpany.backup --json"),
    ),
    "innerd verify": (
        ("Was a record changed?", "innerd verify kermpany"),
        ("Is a backup whole?", "innerd verify kermpany --file /root/kermpany.backup"),
    ),
    "innerd rebuild": (
        ("Make the tables beside the log anew", "innerd rebuild kermpany"),
        ("For a script", "innerd rebuild kermpany --json"),
    ),
    "innerd import-innernet": (
        (
            "See what would come, and write nothing",
            "innerd import-innernet --config /etc/innernet-server/evilcorp.conf \\\n"
            "  --database /var/lib/innernet-server/evilcorp.db --dry-run",
        ),
        (
            "Take it over",
            "innerd import-innernet --config /etc/innernet-server/evilcorp.conf \\\n"
            "  --database /var/lib/innernet-server/evilcorp.db --yes",
        ),
    ),
    "innerd uninstall": (
        ("Asked once more", "innerd uninstall kermpany"),
        ("For a script", "innerd uninstall kermpany --yes"),
    ),
    "innerd show": (
        ("The whole network", "innerd show kermpany"),
        ("As it was last week", "innerd show kermpany --at 7d"),
    ),
    "innerd status": (
        ("Does it serve, and who is behind?", "innerd status kermpany"),
        ("For a monitor", "innerd status kermpany --json"),
    ),
    "inn install": (
        ("Join, and name the interface as the network", "inn install ryo.toml --default-name --delete-invite"),
        (
            "Behind a container bridge that nobody need know of",
            "inn install ryo.toml --exclude-nat-candidates 172.17.0.0/16",
        ),
    ),
    "inn up": (
        ("Once, for all networks", "inn up"),
        ("As a service, from now on and after each boot", "systemctl enable --now inn@kermpany"),
    ),
    "inn fetch": (
        ("Get in step now", "inn fetch kermpany"),
        ("And leave the hosts file alone", "inn fetch kermpany --no-write-hosts"),
    ),
    "inn down": (
        ("Until it is brought up again", "inn down kermpany"),
        ("One whose files lie elsewhere", "inn -c ./etc -d ./lib --runtime-dir ./run down kermpany"),
    ),
    "inn set-listen-port": (
        ("A port that can be forwarded", "inn set-listen-port kermpany 51999"),
        ("Any that is free", "inn set-listen-port kermpany --unset --yes"),
    ),
    "inn override-endpoint": (
        ("A port that is forwarded to this machine", "inn override-endpoint kermpany --endpoint 203.0.113.7:51999"),
        ("What is seen is right again", "inn override-endpoint kermpany --unset --yes"),
    ),
    "inn override-peer-endpoint": (
        (
            "Reach a peer at another address, from here",
            "inn override-peer-endpoint kermpany db1 --endpoint 192.168.7.9:51820",
        ),
        ("As the network says again", "inn override-peer-endpoint kermpany db1 --unset --yes"),
    ),
    "inn trust": (
        ("After asking its owner over another way", "inn trust kermpany db1"),
        ("For a script", "inn trust kermpany db1 --yes --json"),
    ),
    "inn import-innernet": (
        ("Same key, same address", "inn import-innernet evilcorp"),
        ("Without a question", "inn import-innernet evilcorp --yes"),
    ),
    "inn uninstall": (
        ("Asked once more", "inn uninstall kermpany"),
        ("For a script", "inn uninstall kermpany --yes"),
    ),
    "inn show": (
        ("All networks", "inn show"),
        ("One, a line a peer", "inn show kermpany --short"),
    ),
    "inn status": (
        ("Connected, and in step?", "inn status kermpany"),
        ("For a monitor", "inn status kermpany --json"),
    ),
    "inn events": (
        ("What this machine was told", "inn events kermpany"),
        ("As it happens", "inn events kermpany --follow"),
    ),
    "inn verify": (
        ("Is it one log that this machine saw?", "inn verify kermpany"),
        (
            "And the one that another saw?",
            "ssh ryo inn verify kermpany --export | inn verify kermpany -",
        ),
    ),
}


def examples(program: str, verb: str) -> tuple[tuple[str, str], ...]:
    """What to do and what to type, twice; nothing of a verb that there is not."""
    name = ALIASES.get(verb, verb)
    found = _EXAMPLES.get(f"{program} {name}") or _EXAMPLES.get(name)
    return tuple((said, _AT.sub(program, typed)) for said, typed in found or ())


def example_lines(program: str, verb: str) -> Iterator[str]:
    """As they stand below a verb's flags."""
    for said, typed in examples(program, verb):
        yield f"  {said}:"
        for line in typed.split("\n"):
            yield f"    {line}"


def in_one_line(text: str) -> str:
    """A verb's words for lists: up to the first full stop, or to what only explains them."""
    whole = " ".join(text.split())
    ends = [at for sign in (". ", ": ", "; ", " (") if (at := whole.find(sign)) > 0]
    ends += [at + 1 for at in [whole.find("? ")] if at > 0]
    return whole[: min(ends, default=len(whole))].rstrip(".")

"""What pages of the documentation take for granted: hosts and networks that are there before the first command."""

import json
import shlex
import tempfile
from pathlib import Path

from tests import innernet_files
from tests.netns.lab import Host
from tests.netns.loaded import BEGINNINGS
from tests.netns.terminal import Typist
from tests.pages import Step
from tests.world import key, private_key

# Who is in the network kermpany, in the order in which addresses are given, and by which CIDR.
MEMBERS = {"ryo": "humans", "mari": "humans", "db1": "servers", "db2": "servers"}

INNERNET_CONFIG = f"""
[interface]
network-name = "evilcorp"
address = "10.42.128.7/16"
private-key = "{private_key("ryo")}"

[server]
public-key = "{key("coordinator")}"
external-endpoint = "vpn.example.com:51820"
internal-endpoint = "10.42.0.1:51820"
"""
INNERNET_CACHE = {
    "version": "1",
    "peers": [
        {"id": number, "name": name, "ip": ip, "public_key": key(who), "is_disabled": False}
        for number, name, ip, who in (
            (1, "innernet-server", "10.42.0.1", "coordinator"),
            (4, "mari", "10.42.128.8", "mari"),
        )
    ],
    "cidrs": [],
}


def nothing(typist: Typist, hosts: set[str]) -> None:
    """Hosts with the two commands, and nothing else."""


def quick_start(typist: Typist, hosts: set[str]) -> None:
    """A network that is served, with ryo, who administers: the end of the quick start."""
    type_(
        typist,
        "coordinator",
        "innerd new --network-name kermpany --network-cidr 10.42.0.0/16"
        " --external-endpoint vpn.example.com:51820 --listen-port 51820",
        "innerd add-cidr kermpany --name humans --cidr 10.42.128.0/17 --parent kermpany",
        "systemctl enable --now innerd@kermpany",
    )
    join(typist, "ryo", "humans")


def kermpany(typist: Typist, hosts: set[str]) -> None:
    """The network of the README: humans and servers, which are associated. Of its peers those that are spoken of."""
    quick_start(typist, hosts)
    type_(
        typist,
        "coordinator",
        "innerd add-cidr kermpany --name servers --cidr 10.42.64.0/24 --parent kermpany",
        "innerd add-association kermpany humans servers",
    )
    for name, cidr in MEMBERS.items():
        if name in hosts and name != "ryo":
            join(typist, name, cidr)


def without_mari(typist: Typist, hosts: set[str]) -> None:
    """The network kermpany; mari's machine is off."""
    kermpany(typist, {*hosts, "mari", "db1"})
    type_(typist, "mari", "systemctl disable --now inn@kermpany", "inn down kermpany")


def evilcorp(typist: Typist, hosts: set[str]) -> None:
    """A network of innernet's: its server's files, and those of ryo's client. Nothing of innernet runs."""
    coordinator, ryo = (typist.terminal(name).host for name in ("coordinator", "ryo"))
    with tempfile.TemporaryDirectory() as folder:
        server = innernet_files.Server(Path(folder) / "files")
        server.set("cidrs", 1, name="evilcorp")
        server.set("peers", 1, endpoint="vpn.example.com:51820")
        put(coordinator, "/etc/innernet-server/evilcorp.conf", server.config.read_bytes())
        put(coordinator, "/var/lib/innernet-server/evilcorp.db", server.database.read_bytes())
    put(ryo, "/etc/innernet/evilcorp.conf", INNERNET_CONFIG.encode())
    put(ryo, "/var/lib/innernet/evilcorp.json", json.dumps(INNERNET_CACHE).encode())


def put(host: Host, path: str, content: bytes) -> None:
    file = host.path(path)
    file.parent.mkdir(mode=0o700)
    file.touch(mode=0o600)
    file.write_bytes(content)


def moving(typist: Typist, hosts: set[str]) -> None:
    """The network kermpany, and another host, whose name all know. mari's machine is off."""
    typist.terminal("newhost")
    without_mari(typist, hosts)


def join(typist: Typist, name: str, cidr: str) -> None:
    admin = str(name == "ryo").lower()
    type_(
        typist,
        "coordinator",
        f"innerd add-peer kermpany --name {name} --cidr {cidr} --auto-ip --admin {admin}"
        f" --invite-expires 14d --save-config {name}.toml",
        f"scp {name}.toml {name}:",
    )
    type_(
        typist, name, f"inn install {name}.toml --default-name --delete-invite", "systemctl enable --now inn@kermpany"
    )


def type_(typist: Typist, host: str, *commands: str) -> None:
    """What no page shows is typed too, but for our own commands: those need not begin as a reader's do."""
    for command in commands:
        words = shlex.split(command)
        if words[0] in BEGINNINGS:
            typist.terminal(host).host.run(*words)
        else:
            typist.type(Step("before", 0, host, command))

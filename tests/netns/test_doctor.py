"""Doctor, on hosts that ail: each ailment is brought on for real, and must be found: by which check, in which words,
with which remedy and exit status; and when it is cured, nothing of it is said any more."""

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tests.netns import ailments, steps
from tests.netns.ailments import COORDINATOR, MARI, MARIS_PORT, PORT, Deed, dropping, edited, shell, squatter
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.steps import NETWORK

MARKS = {"ok": "ok", "warning": "warning", "failed": "FAILED", "unknown": "unknown"}
INN, INNERD = ("inn", "doctor"), ("innerd", "doctor", NETWORK)
WITHOUT_ADMIN = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
WITHOUT_RAW = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw")
AHEAD = ("env", "PYTHONPATH=/run/.lab/ahead")
CONFIG, ITS_CONFIG = f"/etc/inn/{NETWORK}.toml", f"/etc/innerd/{NETWORK}.toml"


class Ailment(NamedTuple):
    """`deeds` bring it on, in order; `says` and `fix` are part of what must be said. `status` None: another finding may
    come before."""

    deeds: tuple[Deed, ...]
    check: str
    state: str
    says: str
    fix: str | None
    status: int | None
    before: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    """A network of ryo (admin) and mari, who has a port of her own; all hosts know a way out."""
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.join("ryo", "humans", "--admin", "true")
    mari = made.join(MARI, "humans")
    mari.run("inn", "set-listen-port", NETWORK, "--listen-port", str(MARIS_PORT), "--yes")
    for host in made.hosts.values():
        host.run("ip", "route", "add", "default", "via", "10.99.0.250")
    wait_for(lambda: is_well(made, MARI, COORDINATOR), "all to be well", 30)
    return made


def is_well(made: Kermpany, *names: str) -> bool:
    """Whether doctor finds nothing to fail on these hosts, and mari is connected where she is one of them."""
    if MARI in names and not steps.status(made.hosts[MARI])["is_connected"]:
        return False
    return not any(made.hosts[name].ask(*(INN if name == MARI else INNERD)).returncode for name in names)


def checked(host: Host, *command: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status and the findings, which text and JSON tell alike. They are asked for in turn, and much
    happens meanwhile: what is being repaired is asked for again."""
    for _ in range(3):
        done, text = host.ask(*command, "--json"), host.ask(*command)
        assert "Traceback" not in done.stderr + text.stderr
        assert (done.stderr, text.stderr) == ("", "")
        document = json.loads(done.stdout)
        assert document.keys() == {"checks"}
        found = document["checks"]
        assert all(one.keys() == {"check", "network", "state", "text", "fix", "status"} for one in found)
        lines = [line for line in text.stdout.splitlines() if not line.startswith(" ")]
        heads = [f"{MARKS[one['state']]:9}{one['check']}: " for one in found]
        if len(lines) == len(heads) and all(map(str.startswith, lines, heads)):
            break
    else:
        raise AssertionError((lines, heads))
    assert done.returncode == text.returncode
    fixes = [line.split("fix: ", 1)[1] for line in text.stdout.splitlines() if line.startswith(" ")]
    assert without_numbers(fixes) == without_numbers([one["fix"] for one in found if one["fix"]])
    bad = [one for one in found if one["state"] == "failed"]
    assert done.returncode == (bad[0]["status"] if bad else 0)
    return done.returncode, found


def without_numbers(texts: list[str]) -> list[str]:
    return [re.sub(r"\d+", "N", text) for text in texts]


def finding(found: list[dict[str, Any]], ailment: Ailment) -> dict[str, Any]:
    fits = [one for one in found if one["check"] == ailment.check and ailment.says in one["text"]]
    told = [(one["check"], one["state"], one["text"]) for one in found]
    assert len(fits) == 1, (ailment.check, ailment.says, told)
    return fits[0]


def examine(made: Kermpany, name: str, command: tuple[str, ...], ailment: Ailment) -> None:
    host = made.hosts[name]
    with ExitStack() as cures:
        for deed in ailment.deeds:
            cures.enter_context(deed(made))
        status, found = checked(host, *ailment.before, *command)
        one = finding(found, ailment)
        assert one["state"] == ailment.state, one
        assert (ailment.fix or "") in (one["fix"] or ""), one
        assert bool(one["fix"]) == (ailment.fix is not None), one
        if ailment.status is not None:
            told = [(other["check"], other["text"]) for other in found if other["state"] == "failed"]
            assert status == ailment.status, told
    if name == MARI and not is_well(made, MARI):  # a new agent does not wait until it tries again
        steps.kill(host, "inn up")
        steps.agent(host)
    wait_for(lambda: is_well(made, name), "all to be well again", 60)


def config_of_another(name: str) -> Deed:
    return shell(
        name,
        f"mkdir -p /etc/wireguard; touch /etc/wireguard/{NETWORK}.conf",
        f"rm /etc/wireguard/{NETWORK}.conf",
    )


def read_only(name: str, path: str) -> Deed:
    return shell(name, f"mount --bind {path} {path}; mount -o remount,bind,ro {path}", f"umount {path}")


def clock(by: int) -> Deed:
    text = f"import time\nreal = time.time\ntime.time = lambda: real() + {by}\n"
    return shell(MARI, f"mkdir -p /run/.lab/ahead; cat > /run/.lab/ahead/sitecustomize.py <<'E'\n{text}E", "true")


def hidden(name: str) -> Deed:
    return shell(name, "mount --bind /dev/null /usr/bin/wireguard-go", "umount /usr/bin/wireguard-go")


def no_tun(name: str) -> Deed:
    return shell(name, "mount -t tmpfs none /dev/net", "umount /dev/net")


MEMORY = f"/var/lib/inn/{NETWORK}"
PUT_BACK = f"cp -p /run/.lab/pins.json {MEMORY}"
NETWORKD = "/run/systemd/network"
INTERFACE_IS_FOREIGN = f"{NETWORK} is a WireGuard interface that inn did not make: it is left alone"

OF_INN = {
    "keys for everybody": Ailment(
        (shell(MARI, f"chmod 644 {CONFIG}", f"chmod 600 {CONFIG}"),),
        *("config", "failed", "has mode 0644", "chmod go=", 2),
    ),
    "a folder of keys for everybody": Ailment(
        (shell(MARI, f"chmod 755 /var/lib/inn/{NETWORK}", f"chmod 700 /var/lib/inn/{NETWORK}"),),
        *("config", "warning", f"/var/lib/inn/{NETWORK} has mode 0755", f"chmod go= /var/lib/inn/{NETWORK}", 0),
    ),
    "a key that the config does not know": Ailment(
        (edited(MARI, CONFIG, "[interface]", "[interfaze]"),), "config", "failed", "interfaze", None, 2
    ),
    "wg-quick has one of this name": Ailment(
        (config_of_another(MARI),), "manager", "warning", "wg-quick has an interface of this name too", "move", 0
    ),
    "systemd-networkd has one of this name": Ailment(
        (
            shell(
                MARI, f"mkdir -p {NETWORKD}; echo '[Match]\nName={NETWORK}' > {NETWORKD}/9.network", f"rm -r {NETWORKD}"
            ),
        ),
        *("manager", "warning", "systemd-networkd manages", "remove", 0),
    ),
    "pins that are torn": Ailment(
        (shell(MARI, f"cp -p {MEMORY}/pins.json /run/.lab; truncate -s 20 {MEMORY}/pins.json", PUT_BACK),),
        *("memory", "failed", "pins.json can't be read", "compare the keys", 7),
    ),
    "a network that is torn": Ailment(
        (ailments.no_agent, shell(MARI, f"truncate -s 20 {MEMORY}/netmap.json", "true")),
        *("memory", "warning", "netmap.json can't be read", f"inn up -d {NETWORK}", 0),
    ),
    "no interface": Ailment((ailments.interface_down,), "interface", "failed", "is not up", f"inn up -d {NETWORK}", 6),
    "an interface that was deleted": Ailment(
        (ailments.no_agent, shell(MARI, f"ip link del {NETWORK}", "true")),
        *("interface", "failed", "is not up", f"inn up -d {NETWORK}", 6),
    ),
    "somebody else's interface": Ailment(
        (ailments.interface_down, ailments.foreign_interface),
        *("interface", "failed", INTERFACE_IS_FOREIGN, f"ip link del {NETWORK}", 6),
    ),
    "a bridge of that name": Ailment(
        (ailments.interface_down, shell(MARI, f"ip link add {NETWORK} type bridge", f"ip link del {NETWORK}")),
        *("interface", "failed", "another interface is named", "choose another name", 6),
    ),
    "an address that was taken off": Ailment(
        (ailments.no_agent, shell(MARI, f"ip addr flush dev {NETWORK}", "true")),
        *("interface", "failed", "it does not have its address", f"inn up -d {NETWORK}", 6),
    ),
    "a route that was taken off": Ailment(
        (ailments.no_agent, shell(MARI, f"ip route del 10.42.0.0/16 dev {NETWORK}", "true")),
        *("interface", "failed", "there is no route to 10.42.0.0/16", f"inn up -d {NETWORK}", 6),
    ),
    "an interface that was set down": Ailment(
        (ailments.no_agent, shell(MARI, f"ip link set {NETWORK} down", "true")),
        *("interface", "failed", "it is down", f"inn up -d {NETWORK}", 6),
    ),
    "an MTU that is too big": Ailment(
        (ailments.no_agent, shell(MARI, f"ip link set {NETWORK} mtu 9000", "true")),
        *("mtu", "warning", "has 9000, but the routes carry 1420", "leave --mtu", 0),
    ),
    "its port is taken, and it is down": Ailment(
        (ailments.interface_down, squatter(MARI, "udp", MARIS_PORT)),
        *("port", "failed", f"UDP port {MARIS_PORT} is in use by squatter (pid ", "stop it", 6),
    ),
    "its port is taken, and it has another": Ailment(
        (
            ailments.no_agent,
            shell(MARI, f"wg set {NETWORK} listen-port 52000", "true"),
            squatter(MARI, "udp", MARIS_PORT),
        ),
        *("port", "failed", f"listens on UDP 52000, and not on {MARIS_PORT}, which squatter (pid ", "stop", 6),
    ),
    "no wireguard-go": Ailment(
        (hidden(MARI),), "wireguard", "failed", "there is no wireguard-go", "apt install wireguard-go", 6
    ),
    "no /dev/net/tun": Ailment(
        (no_tun(MARI),), "wireguard", "failed", "/dev/net/tun can't be opened", "modprobe tun", 6
    ),
    "no CAP_NET_ADMIN": Ailment((), "privileges", "failed", "CAP_NET_ADMIN is missing", "root", 6, WITHOUT_ADMIN),
    "no CAP_NET_RAW": Ailment((), "privileges", "warning", "CAP_NET_RAW is missing", "root", 0, WITHOUT_RAW),
    "a clock an hour ahead": Ailment(
        (clock(3600),), "clock", "warning", "s ahead of the coordinator's", "chrony", 0, AHEAD
    ),
    "a clock an hour behind": Ailment(
        (clock(-3600),), "clock", "warning", "s behind the coordinator's", "chrony", 0, AHEAD
    ),
    "a clock that is a little off": Ailment(
        (clock(20),), "clock", "ok", "agrees with the coordinator's", None, 0, AHEAD
    ),
    "a folder that can't be written to": Ailment(
        (read_only(MARI, "/var/lib"),), "disk", "failed", "read-only", "mount it read-write", 6
    ),
    "no agent": Ailment((ailments.no_agent,), "agent", "warning", "does not run", f"inn up -d {NETWORK}", 0),
    "nobody serves": Ailment(
        (ailments.not_serving,), "coordinator", "failed", "API at 10.42.0.1 does not answer", "innerd serve", 5
    ),
    "nothing is there": Ailment(
        (ailments.nothing_there, ailments.fresh_start),
        *("coordinator", "failed", "its host is up, and nothing listens there", "innerd serve", 5),
    ),
    "a firewall before the coordinator": Ailment(
        (dropping(COORDINATOR), ailments.fresh_start),
        *("coordinator", "failed", "its host answers a ping: a firewall drops UDP there", f"UDP port {PORT}", 5),
    ),
    "the coordinator's host is gone": Ailment(
        (ailments.unplugged, ailments.fresh_start),
        *("coordinator", "failed", "its host answers nothing at all", "network", 5),
    ),
    "a coordinator without an address": Ailment(
        (edited(MARI, CONFIG, f"10.99.0.1:{PORT}", f"nowhere.invalid:{PORT}"),),
        *("coordinator", "failed", "nowhere.invalid can't be resolved", "DNS", 5),
    ),
    "a firewall before the peer": Ailment(
        (dropping(MARI, "ct state established accept"),),
        *("firewall", "warning", f"drops UDP port {MARIS_PORT} from eth0", "nft insert rule ip wall in udp", 0),
    ),
}  # fmt: skip

OF_INNERD = {
    "keys for everybody": Ailment(
        (shell(COORDINATOR, f"chmod 644 {ITS_CONFIG}", f"chmod 600 {ITS_CONFIG}"),),
        *("config", "failed", f"{ITS_CONFIG} has mode 0644", f"chmod go= {ITS_CONFIG}", 2),
    ),
    "a log for everybody": Ailment(
        (shell(COORDINATOR, *(f"chmod {mode} /var/lib/innerd/{NETWORK}.db" for mode in ("644", "600"))),),
        *("config", "failed", f"/var/lib/innerd/{NETWORK}.db has mode 0644", "chmod go=", 6),
    ),
    "wg-quick has one of this name": Ailment(
        (config_of_another(COORDINATOR),), "manager", "warning", "wg-quick", "move", 0
    ),
    "nobody serves": Ailment(
        (ailments.not_serving,), "serving", "failed", "nobody serves", f"innerd serve {NETWORK}", 6
    ),
    "no interface": Ailment(
        (ailments.nothing_there,), "interface", "failed", "is not up", f"innerd serve {NETWORK}", 6
    ),
    "somebody else's interface": Ailment(
        (ailments.nothing_there, lambda made: ailments.foreign_interface(made, COORDINATOR)),
        *("interface", "failed", "that innerd did not make", f"ip link del {NETWORK}", 6),
    ),
    "an address that was taken off": Ailment(
        (ailments.not_serving, shell(COORDINATOR, f"ip addr flush dev {NETWORK}", "true")),
        *("interface", "failed", "it does not have its address 10.42.0.1/16", "innerd serve", 6),
    ),
    "an MTU that is too big": Ailment(
        (ailments.not_serving, shell(COORDINATOR, f"ip link set {NETWORK} mtu 9000", "true")),
        *("mtu", "warning", "has 9000, but the routes carry 1420", "leave --mtu", 6),
    ),
    "its port is taken": Ailment(
        (ailments.nothing_there, squatter(COORDINATOR, "udp", PORT)),
        *("port", "failed", f"UDP port {PORT} is in use by squatter (pid ", "stop it", 6),
    ),
    "its port of TCP is taken": Ailment(
        (ailments.not_serving, squatter(COORDINATOR, "tcp", PORT)),
        *("serving", "warning", f"TCP port {PORT} is in use by squatter (pid ", None, 6),
    ),
    "TCP/53 is taken": Ailment(
        (ailments.not_serving, squatter(COORDINATOR, "tcp", 53)),
        *("serving", "warning", "TCP port 53 is in use by squatter (pid ", None, 6),
    ),
    "a firewall that drops its port": Ailment(
        (dropping(COORDINATOR, "ct state established accept"),),
        *("firewall", "failed", f"drops UDP port {PORT} from eth0 (chain ip wall in)", "nft insert rule ip wall in", 6),
    ),
    "a firewall that drops names": Ailment(
        (dropping(COORDINATOR, f"udp dport {PORT} accept", "udp dport 53 drop"),),
        *("firewall", "failed", f"drops UDP port 53 from {NETWORK}", f"in iifname {NETWORK} udp dport 53 accept", 6),
    ),
    "no wireguard-go": Ailment(
        (hidden(COORDINATOR),), "wireguard", "failed", "there is no wireguard-go", "apt install wireguard-go", 6
    ),
    "no /dev/net/tun": Ailment(
        (no_tun(COORDINATOR),), "wireguard", "failed", "/dev/net/tun can't be opened", "modprobe tun", 6
    ),
    "no CAP_NET_ADMIN": Ailment((), "privileges", "failed", "CAP_NET_ADMIN is missing", "root", 6, WITHOUT_ADMIN),
    "a folder that can't be written to": Ailment(
        (read_only(COORDINATOR, "/var/lib/innerd"),), "disk", "failed", "read-only", "mount it read-write", 6
    ),
    "an endpoint without an address": Ailment(
        (ailments.said_endpoint(f"nowhere.invalid:{PORT}"),),
        *("endpoint", "failed", "nowhere.invalid can't be resolved", "innerd set-endpoint", 6),
    ),
    "an endpoint that is somebody else's": Ailment(
        (ailments.said_endpoint(f"203.0.113.7:{PORT}"),),
        *("endpoint", "warning", "no address of this host", f"forward UDP port {PORT}", 0),
    ),
    "an endpoint with another port": Ailment(
        (ailments.said_endpoint("10.99.0.1:51999"),),
        *("endpoint", "failed", f"port 51999, but it listens on {PORT}", "innerd set-endpoint", 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("ailment", OF_INN.values(), ids=OF_INN)
def test_inn_doctor_finds(made: Kermpany, ailment: Ailment) -> None:
    examine(made, MARI, INN, ailment)


@pytest.mark.parametrize("ailment", OF_INNERD.values(), ids=OF_INNERD)
def test_innerd_doctor_finds(made: Kermpany, ailment: Ailment) -> None:
    examine(made, COORDINATOR, INNERD, ailment)

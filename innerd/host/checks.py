"""What `inn doctor` and `innerd doctor` look at on a host, each by trying it or reading it where it is, never by guess.

A check yields findings: what is so, whether that is good, and what to do if not.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Literal

from msgspec import Struct

from innerd.domain.values import Address, Range
from innerd.failure import SYSTEM
from innerd.host import firewall, lookup, overlap
from innerd.wire import proof
from innerd.wire.relaying import Relaying
from innerd.wireguard import daemon, links, ownership
from innerd.wireguard.backend import CAP_NET_ADMIN, CAP_NET_RAW, Backend, has_capability
from innerd.wireguard.device import DeviceError
from innerd.wireguard.holders import holder
from innerd.wireguard.kernel import KernelBackend
from innerd.wireguard.userspace import UserspaceBackend

State = Literal["ok", "warning", "failed", "unknown"]


class Finding(Struct, frozen=True, kw_only=True):
    """`state`: ok, warning (works, but), failed (`status` is the exit status for it), unknown (can't be told)."""

    check: str
    state: State
    text: str
    fix: str | None = None
    status: int = SYSTEM
    network: str | None = None  # None: of the host


def ok(check: str, text: str) -> Finding:
    return Finding(check=check, state="ok", text=text)


def warning(check: str, text: str, fix: str | None = None) -> Finding:
    return Finding(check=check, state="warning", text=text, fix=fix)


def failed(check: str, text: str, fix: str | None = None, status: int = SYSTEM) -> Finding:
    return Finding(check=check, state="failed", text=text, fix=fix, status=status)


def unknown(check: str, text: str, fix: str | None = None) -> Finding:
    return Finding(check=check, state="unknown", text=text, fix=fix)


def privileges(*, finds_ways: bool) -> Iterator[Finding]:
    """What this process may do. Only a peer finds ways through NATs."""
    if has_capability(CAP_NET_ADMIN):
        yield ok("privileges", "CAP_NET_ADMIN is there")
    else:
        yield failed("privileges", "CAP_NET_ADMIN is missing: no interface can be made", "run it as root, or with sudo")
    if finds_ways and not has_capability(CAP_NET_RAW):
        yield warning(
            "privileges",
            "CAP_NET_RAW is missing: ways between two NATs are not found",
            "run it as root, or give the service the capability",
        )


def wireguard(interface: str, wanted: str) -> Iterator[Finding]:
    """Which WireGuard there is, which is used, and why."""
    kernel, userspace = KernelBackend(), UserspaceBackend()
    if not has_capability(CAP_NET_ADMIN):
        yield unknown("wireguard", "without CAP_NET_ADMIN it can't be tried")
        return
    has_kernel, program, tun = kernel.works(), daemon.program(), _tun()
    has_userspace = program is not None and tun is None
    used = "kernel" if kernel.exists(interface) else "userspace" if userspace.exists(interface) else None
    chosen = used or (wanted if wanted != "auto" else "kernel" if has_kernel else "userspace")
    why = (
        "the interface is up with it"
        if used
        else f"--backend {wanted}"
        if wanted != "auto"
        else ("the kernel has WireGuard" if has_kernel else "the kernel has no WireGuard")
    )
    if has_kernel or has_userspace:
        yield ok("wireguard", f"{chosen} is used: {why}")
    if not has_kernel:
        missing = "the kernel has no WireGuard (no module wireguard)"
        fix = "apt install wireguard (a kernel from 5.6 on has it), or wireguard-go"
        if used == "kernel" or chosen == "kernel" or not has_userspace:
            yield failed("wireguard", missing, fix)
        else:
            faster = "apt install wireguard (a kernel from 5.6 on has it), if it should be faster"
            yield warning("wireguard", f"{missing}: wireguard-go is slower", faster)
    if chosen == "userspace" and program is None:
        yield failed("wireguard", f"there is no {daemon.wanted()}", "apt install wireguard-go")
    elif chosen == "userspace":
        yield from _age(interface, Path(program or ""), is_up=used == "userspace")
    if chosen == "userspace" and tun is not None:
        yield failed("wireguard", f"/dev/net/tun {tun}", "modprobe tun; in a container: --device /dev/net/tun")


def _age(interface: str, program: Path, *, is_up: bool) -> Iterator[Finding]:
    """Whether the wireguard-go that carries an interface, or would, is an old one."""
    running = daemon.running(interface) if is_up else None
    found = daemon.release(running or program)
    if found is None or found >= daemon.NEWEST:
        return
    old, new = (".".join(map(str, one)) for one in (found, daemon.NEWEST))
    text = f"wireguard-go {old} is an old one: {new} has four to five times the throughput, at a third of the CPU"
    fix = f"the Debian package of innerd brings one; or name one in {daemon.CHOSEN_BY[0]}"
    if running is not None and (daemon.release(program) or ()) >= daemon.NEWEST:
        text = f"wireguard-go {old} still carries {interface}, and {program} is newer and faster"
        fix = f"ip link delete {interface}: it is made anew at once, with a pause in its tunnels"
    yield warning("wireguard", text, fix)


def _tun() -> str | None:
    """What is wrong with /dev/net/tun."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"can't be opened: {error.strerror}"
    return None


def relaying(found: Relaying, what: str) -> Finding:
    """How a relay that is on works, and what would make it the faster way; `what` says what it does."""
    if found.mode == "userspace":
        fix = "nftables (apt install nftables), and a kernel that has nf_tables' netdev family"
        return warning("relay", f"{what} in user space, which is slower: {found.why}", fix)
    return ok("relay", f"{what} in the kernel: {found.pairs} pairs")


def broken(error: Exception) -> Finding:
    """A configuration that can't be read."""
    return failed("config", str(error), getattr(error, "hint", None), getattr(error, "status", SYSTEM))


def modes(check: str, *paths: Path) -> Iterator[Finding]:
    """Files with keys are for root alone. A folder that others may look into (a container's volume is one) holds
    files that they may not: that is no failure."""
    for path in paths:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0
        fix = f"chmod go= {path}"
        if path.is_dir() and mode & 0o077 and not mode & 0o022:
            yield warning(check, f"{path} has mode {mode:04o}: others may see what is called how in it", fix)
        elif mode & 0o077:
            yield failed(check, f"{path} has mode {mode:04o}: others may read keys", fix)


def interface(
    backend: Backend, name: str, who: str, private_key: str, address: str, command: str, home: Path
) -> Iterator[Finding]:
    """Whether it is there, ours (run from `home`), and as it should be."""
    if not backend.exists(name):
        kind = links.kind_of(name)
        if kind is not None:
            yield failed("interface", f"another interface is named {name}", "choose another name, or remove that one")
        else:
            yield failed("interface", f"{name} is not up", command)
        return
    if not ownership.is_ours(backend, name, who, (private_key,), home):
        here = f" from {home}" if ownership.is_ours(backend, name, who, ()) else ""
        text = f"{name} is a WireGuard interface that {who} did not make{here}: it is left alone"
        yield failed("interface", text, f"ip link del {name}, if nobody needs it")
        return
    wrong = links.deviations(name, ip_interface(address))
    if wrong:
        yield failed("interface", f"{name}: {'; '.join(wrong)}", command)
    else:
        yield ok("interface", f"{name} is up with {address} ({backend.name})")


def managers(name: str) -> Iterator[Finding]:
    """Other tools that would have this interface."""
    for path, tool in (
        (Path(f"/etc/wireguard/{name}.conf"), "wg-quick"),
        (Path(f"/etc/innernet/{name}.conf"), "innernet"),
        (Path(f"/etc/innernet-server/{name}.conf"), "innernet-server"),
    ):
        if path.exists():
            yield warning(
                "manager", f"{tool} has an interface of this name too ({path})", f"stop it, and move {path} away"
            )
    for folder in ("/etc/systemd/network", "/run/systemd/network"):
        for file in sorted(Path(folder).glob("*.net*")):
            if f"Name={name}" in file.read_text(errors="replace").splitlines():
                yield warning(
                    "manager", f"systemd-networkd manages {name} ({file})", f"remove {file}, or name it otherwise"
                )
    state = _network_manager(name)
    if state not in (None, "unmanaged"):
        yield warning(
            "manager",
            f"NetworkManager manages {name} (it is {state})",
            f"in /etc/NetworkManager/conf.d/: [keyfile] unmanaged-devices=interface-name:{name}",
        )


def _network_manager(name: str) -> str | None:
    program = shutil.which("nmcli")
    if program is None:
        return None
    done = subprocess.run([program, "-t", "-f", "DEVICE,STATE", "device"], capture_output=True, text=True, check=False)
    states = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    return states.get(name)


def port(backend: Backend, name: str, wanted: int | None) -> Iterator[Finding]:
    """The UDP port of WireGuard: had by the interface, or by whom else."""
    if backend.exists(name):
        has = backend.get(name).listen_port
        if wanted is not None and has != wanted:
            by = holder("udp", wanted)
            text = f"{name} listens on UDP {has}, and not on {wanted}" + (f", which {by} has" if by else "")
            yield failed("port", text, "stop what has it; the port is put right then")
        else:
            yield ok("port", f"{name} listens on UDP {has}")
        return
    if wanted is None:
        return
    by = holder("udp", wanted)
    if by is not None:
        yield failed("port", f"UDP port {wanted} is in use by {by}", "stop it, or change listen-port in the config")
    else:
        yield ok("port", f"UDP port {wanted} is free")


def filtered(
    check: str, protocol: str, number: int, link: str | None, *, needed: bool, only: bool = False
) -> Iterator[Finding]:
    """Whether this host's firewall drops what comes to a port. Where it is not `needed`, it is a matter of speed; where
    it is `only` for that link, the remedy opens it for no other."""
    rules = firewall.ruleset()
    if rules is None:
        yield unknown(check, "the rules can't be read (no nft, or not root)")
        return
    if link is None:
        yield unknown(check, "there is no default route: which link the packets come by is not known")
        return
    verdicts = [firewall.verdict(rules, firewall.incoming(protocol, number, link, version)) for version in versions()]
    possible, where = max(verdicts, key=_badness)
    what = f"{protocol.upper()} port {number} from {link}"
    if possible == {firewall.ACCEPT}:
        yield ok(check, f"lets {what} in")
    elif possible == {firewall.DROP}:
        fix = f"let it in: {firewall.remedy(rules, where, protocol, number, link if only else None)}"
        if needed:
            yield failed(check, f"drops {what} (chain {where})", fix)
        else:
            text = f"drops {what} (chain {where}): others reach this machine only once it has spoken to them"
            yield warning(check, text, fix)
    else:
        text = f"{what}: rules that are not understood decide (chain {where})"
        if needed and firewall.is_ufw(rules):
            fix = f"if it is not let in: {firewall.remedy(rules, where, protocol, number, link if only else None)}"
            yield unknown(check, text, fix)
        else:
            yield unknown(check, text)


def _badness(found: tuple[set[str], str]) -> int:
    return 2 if found[0] == {firewall.DROP} else len(found[0]) - 1


def versions() -> list[int]:
    """The versions of IP by which others can come to this host."""
    found = {address.version for address in links.host_addresses()}
    return sorted(found) or [4]


def mtu(name: str, towards: Address | None, overlay: Address) -> Iterator[Finding]:
    has, best = links.mtu_of(name), links.mtu_towards(towards, overlay, name)
    if has is None:
        return
    if has > best:
        text = f"{name} has {has}, but the routes carry {best} inside the tunnel: big packets are cut up or lost"
        yield warning("mtu", text, "leave --mtu and [agent] mtu away, or lower it")
    else:
        yield ok("mtu", f"{name} has {has}, the routes carry {best}")


def grounds(name: str, block: Range, peers: Collection[Address]) -> Iterator[Finding]:
    """What else of this host lies in the network's range."""
    said = overlap.overlaps_of(block, overlap.of_host(name), peers)
    for sentence in said:
        yield warning("range", sentence, "give it another range or address, or the network")
    if not said:
        yield ok("range", f"nothing else of this host lies in {block}")


def clock(ahead: float | None) -> Iterator[Finding]:
    """`ahead`: this host's clock less the coordinator's, in seconds; None where that is not known."""
    if ahead is not None and abs(ahead) > proof.WINDOW:
        text = f"this host's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the coordinator's"
        yield warning("clock", f"{text}: times that it shows are off", "switch time synchronisation on (chrony)")
    elif ahead is not None:
        yield ok("clock", f"agrees with the coordinator's to {max(1, round(abs(ahead)))} s")
    if _is_unsynchronised():
        yield warning(
            "clock", "the kernel says that its clock is not synchronised", "install chrony, or systemd-timesyncd"
        )


def _is_unsynchronised() -> bool:
    """adjtimex(2) asked without changing anything: TIME_ERROR is 5."""
    buffer = ctypes.create_string_buffer(512)
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return state == 5


def unit(name: str) -> Iterator[Finding]:
    """How systemd is with a service of ours, where it has one of this name."""
    if not Path("/run/systemd/system").is_dir():
        return
    asked = ("systemctl", "show", "-p", "ActiveState,SubState,ExecMainStatus,NRestarts", name)
    said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=5).stdout
    found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    ended, journal = found.get("ExecMainStatus", "?"), f"journalctl -u {name} says why"
    if found.get("ActiveState") == "failed":
        text = f"{name} ended with {ended} and is not started again"
        yield failed("unit", text, f"{journal}; when it is mended: systemctl start {name}")
    elif found.get("SubState") == "auto-restart":
        yield warning(
            "unit", f"{name} ends with {ended} and is started again ({found.get('NRestarts')} times)", journal
        )
    elif found.get("ActiveState") == "active":
        yield ok("unit", f"{name} runs, started again {found.get('NRestarts', '0')} times")


def space(path: Path) -> Iterator[Finding]:
    """Of the folder, or of the one in which it will be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        found = os.statvfs(path)
    except OSError as error:
        yield failed("disk", f"{path} can't be looked at: {error.strerror}")
        return
    free = found.f_bavail * found.f_frsize >> 20
    if found.f_flag & os.ST_RDONLY:
        yield failed(
            "disk", f"{path} is on a read-only file system", "mount it read-write: nothing can be written down"
        )
    elif free < 50:
        yield failed("disk", f"{free} MiB are left where {path} is", "make room: nothing can be written down soon")
    else:
        yield ok("disk", f"{free} MiB are left where {path} is")


def names(name: str, address: Address, mode: str, server: str | None, trouble: str | None) -> Iterator[Finding]:
    """How names resolve here, tried with this machine's own."""
    if trouble:
        yield warning("names", trouble)
    if server is not None and (why := lookup.answers(server, name, address)) is not None:
        yield failed("names", f"asked at {server} for {name}: {why}", "see the agent's log")
    if mode == "none":
        yield ok("names", "are not looked after here (--dns none)")
        return
    found = lookup.resolved(name)
    if found is None:
        yield failed("names", f"this host's resolver takes too long to say what {name} is", "see to resolv.conf")
    elif str(address) not in found:
        said = ", ".join(sorted(found)) or "nothing"
        yield failed(
            "names",
            f"this host's resolver says {said} for {name}, not {address}",
            "inn status says by what it resolves",
        )
    else:
        yield ok("names", f"resolve by {mode}{f', answered at {server}' if server else ''}: {name} is {address}")


def default_link() -> str | None:
    try:
        return links.default_link()
    except DeviceError:
        return None

"""The host's own resolver: whom it asks for our names, and for ours only. Set for one interface, and undone.

What was set is written down before it is set, so that whoever comes after a crash can undo it. Nothing of the host's
own configuration is edited: systemd-resolved is told by its own command, others get a file or an entry of their own.
"""

import configparser
import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from innerd.domain.unreadable import UNREADABLE
from innerd.host import files

Mode = Literal["resolved", "networkmanager", "resolvconf", "hosts", "none"]
# Seconds. openresolv restarts Debian's dnsmasq, which calls openresolv, which waits 10 s for its own lock.
_TIMEOUT = 20.0
_RESOLVED_STUBS = ("127.0.0.53", "127.0.0.54")
_ROOT = Path("/")
_DNSMASQ = Path("/etc/NetworkManager/dnsmasq.d")
_LINKS = Path("/run/systemd/resolve/netif")  # what resolved remembers of links


class Setting(Struct, frozen=True, kw_only=True):
    """What the host's resolver is told: these domains are answered at this address."""

    mode: Mode
    interface: str
    server: str = ""
    domains: tuple[str, ...] = ()


class Refusal(Exception):
    """The host's resolver did not take it; the text says why."""


def usual() -> Mode:
    """What this host resolves by, so far as it can be told names of ours alone."""
    if resolved_in_use():
        return "resolved"
    if _has_dnsmasq_by_network_manager():
        return "networkmanager"
    return "resolvconf" if _has_resolver_by_resolvconf() else "hosts"


def resolved_in_use() -> bool:
    """Whether programs on this host ask systemd-resolved: by its stub, or by nss-resolve."""
    if shutil.which("resolvectl") is None or not (_ROOT / "run/systemd/resolve").is_dir():
        return False
    servers = [
        words[1] for words in _entries(_ROOT / "etc/resolv.conf", "#;") if words[0] == "nameserver" and words[1:]
    ]
    sources = [words[1:] for words in _entries(_ROOT / "etc/nsswitch.conf", "#") if words[0] == "hosts:"]
    return any(stub in servers for stub in _RESOLVED_STUBS) or any("resolve" in words for words in sources)


def _entries(path: Path, comments: str) -> Iterator[list[str]]:
    """The words of each line that says something; from a comment's mark on a line says nothing."""
    for line in _text(path).splitlines():
        words = re.split(f"[{comments}]", line, maxsplit=1)[0].replace(":", ": ").split()
        if words:
            yield words


def _has_dnsmasq_by_network_manager() -> bool:
    if not (_ROOT / "run/NetworkManager").is_dir():
        return False
    dns = ""
    for path in _of_network_manager():
        said = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=", comment_prefixes="#")
        with contextlib.suppress(configparser.Error):
            said.read_string(_text(path))
        dns = said.get("main", "dns", fallback=dns)  # the last one that says something counts
    return dns.strip() == "dnsmasq"


def _of_network_manager() -> list[Path]:
    """Its configuration files in the order in which they are read (NetworkManager.conf(5)): of a name that is in
    several folders the last one counts."""
    named: dict[str, Path] = {}
    for place in ("usr/lib", "run", "etc"):
        named |= {path.name: path for path in sorted((_ROOT / place / "NetworkManager/conf.d").glob("*.conf"))}
    own = sorted(path for path in named.values() if _ROOT / "etc" in path.parents)
    return [
        *(path for path in named.values() if path not in own),
        _ROOT / "etc/NetworkManager/NetworkManager.conf",
        *own,
    ]


def _has_resolver_by_resolvconf() -> bool:
    """Whether openresolv feeds a local resolver, which asks us for our names alone. Into a plain resolv.conf we would
    be put for all names."""
    if shutil.which("resolvconf") is None:
        return False
    keys = ("dnsmasq_conf=", "unbound_conf=", "pdnsd_conf=", "named_zones=", "dnsmasq_resolv=")
    return any(line.strip().startswith(keys) for line in _text(_ROOT / "etc/resolvconf.conf").splitlines())


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


# -- set and undo -----------------------------------------------------------------------------------------------------


def put(setting: Setting, record: Path) -> None:
    """Set it, having written it down. Raises Refusal, OSError; then nothing is set."""
    files.write_atomically(record, msgspec.json.encode(setting))
    try:
        _put(setting)
    except (Refusal, OSError):
        undo(record)
        raise


def _put(setting: Setting) -> None:
    name, routed = setting.interface, [f"~{domain}" for domain in setting.domains]
    match setting.mode:
        case "resolved":
            _do("resolvectl", "dns", name, setting.server)
            _do("resolvectl", "domain", name, *routed)
            _do("resolvectl", "default-route", name, "false")
            for what in ("llmnr", "mdns", "dnssec", "dnsovertls"):
                _do("resolvectl", what, name, "no")
            _do("resolvectl", "flush-caches")
        case "networkmanager":
            lines = [f"server=/{domain}/{setting.server}\n" for domain in setting.domains]
            (_DNSMASQ / f"inn-{name}.conf").write_text("".join(lines))
            _do("nmcli", "general", "reload", "dns-full")
        case "resolvconf":
            text = f"nameserver {setting.server}\ndomain {setting.domains[0]}\nsearch {' '.join(setting.domains)}\n"
            _do("resolvconf", "-p", "-a", f"{name}.inn", given=text)


def undo(record: Path) -> Setting | None:
    """Take back what was set last, if anything was; that."""
    try:
        setting = msgspec.json.decode(record.read_bytes(), type=Setting)
    except (FileNotFoundError, *UNREADABLE):
        return None
    with contextlib.suppress(Refusal, OSError):  # the link is gone, or the resolver is: so is what it was told
        _undo(setting)
    files.remove(record)
    return setting


def _undo(setting: Setting) -> None:
    match setting.mode:
        case "resolved":
            _do("resolvectl", "revert", setting.interface)
            _do("resolvectl", "flush-caches")
        case "networkmanager":
            (_DNSMASQ / f"inn-{setting.interface}.conf").unlink(missing_ok=True)
            _do("nmcli", "general", "reload", "dns-full")
        case "resolvconf":
            _do("resolvconf", "-f", "-d", f"{setting.interface}.inn")


def is_set(setting: Setting, index: int) -> bool:
    """Whether it still is: resolved forgets a link that is made anew, and all when it begins without its memory."""
    if setting.mode == "resolved":
        remembered = _text(_LINKS / str(index))
        return f"SERVERS={setting.server}" in remembered and all(d in remembered for d in setting.domains)
    if setting.mode == "networkmanager":
        return (_DNSMASQ / f"inn-{setting.interface}.conf").exists()
    return True


def _do(program: str, *arguments: str, given: str | None = None) -> None:
    """Run a program. Raises Refusal with what it said."""
    command: Sequence[str] = (program, *arguments)
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except FileNotFoundError:
        raise Refusal(f"there is no {program}") from None
    except subprocess.TimeoutExpired:
        raise Refusal(f"{program} does not answer") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Refusal(f"{' '.join(command)}: {said[-1] if said else f'exit status {done.returncode}'}")

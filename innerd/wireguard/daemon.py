"""The program behind userspace WireGuard: which one is taken, and of which release it is, or the one that runs.

The Debian package brings a newer one than Debian has. innernet's variables name another, as they do there.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

CHOSEN_BY = ("WG_USERSPACE_IMPLEMENTATION", "WG_QUICK_USERSPACE_IMPLEMENTATION")
OURS = Path("/usr/lib/innerd/wireguard-go")
NEWEST = (0, 0, 20250522)  # what it says of itself; it takes and gives the kernel many packets at once
_PATIENCE = 5.0  # seconds


def wanted() -> str:
    """The program that is taken, whether it is there or not."""
    for variable in CHOSEN_BY:
        if named := os.environ.get(variable):
            return named
    return str(OURS) if os.access(OURS, os.X_OK) else "wireguard-go"


def program() -> str | None:
    """The path of it, if it is there."""
    return shutil.which(wanted())


def release(of: str | Path) -> tuple[int, ...] | None:
    """What a wireguard-go says that it is; None for another program."""
    try:
        done = subprocess.run([of, "--version"], capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"wireguard-go v?(\d+(?:\.\d+)+)", done.stdout)
    return None if found is None else tuple(map(int, found[1].split(".")))


def running(interface: str) -> Path | None:
    """The program of the process that carries an interface, as it was started, replaced or not. Only one of our own
    user, in our own network: it is going to be asked what it is."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_daemon = b"wireguard" in words[0] and words[-2:-1] == [interface.encode()]
            if is_daemon and process.stat().st_uid == os.geteuid() and _is_in_our_network(process):
                return process / "exe"
        except OSError:  # it ended
            continue
    return None


def _is_in_our_network(process: Path) -> bool:
    return (process / "ns/net").readlink() == Path("/proc/self/ns/net").readlink()

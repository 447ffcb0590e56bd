"""Which process has a port: from /proc (proc(5)), as ss -p does it."""

from pathlib import Path

_PROC = Path("/proc")
_LISTENS = {"tcp": {"0A"}, "udp": {"07", "01"}}  # the states of sockets that have a port


def holder(protocol: str, port: int) -> str | None:
    """A process that listens on a port ("udp" or "tcp"), as `name (pid N)`, or the WireGuard interface of the kernel's
    that has it. None where nobody does."""
    inodes = _inodes(protocol, port)
    if not inodes:
        return None
    for process in _PROC.iterdir():
        if process.name.isdecimal() and _has(process, inodes):
            return f"{_name(process)} (pid {process.name})"
    name = _interface(port) if protocol == "udp" else None
    if name:
        return f"the WireGuard interface {name}"
    unseen = "a process that can't be seen from here"
    return f"the kernel, or {unseen}" if protocol == "udp" else unseen


def _interface(port: int) -> str | None:
    """The WireGuard interface of the kernel's that has a port."""
    from innerd.wireguard import links
    from innerd.wireguard.device import DeviceError
    from innerd.wireguard.kernel import KernelBackend

    try:
        return next(
            (name for name in links.of_kind("wireguard") if KernelBackend().get(name).listen_port == port), None
        )
    except DeviceError:
        return None


def _inodes(protocol: str, port: int) -> set[str]:
    found = set()
    for table in (protocol, f"{protocol}6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, _, state, *_, inode = line.split()[1:10]
            if int(local.rpartition(":")[2], 16) == port and state in _LISTENS[protocol]:
                found.add(inode)
    return found


def _has(process: Path, inodes: set[str]) -> bool:
    try:
        return any(str(link.readlink()).removeprefix("socket:[").rstrip("]") in inodes for link in _fds(process))
    except OSError:  # it ended meanwhile, or is not ours to look at
        return False


def _fds(process: Path) -> list[Path]:
    return list((process / "fd").iterdir())


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a process"

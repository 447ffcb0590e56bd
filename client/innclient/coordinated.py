"""Whether this host is the coordinator of a network. It is in it, and yet no peer that `inn` knows of: who types `inn`
there means `innerd`, and is told so."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from innerd.failure import Failure, not_found

_CONFIGS = Path("/etc/innerd")
_LINKS = Path("/sys/class/net")


def here(interface: str) -> bool:
    """By its config, or, for who may not look there, by what stands on the interface."""
    with contextlib.suppress(OSError):
        if (_LINKS / interface / "ifalias").read_text().startswith("innerd "):
            return True
    with contextlib.suppress(OSError):
        return (_CONFIGS / f"{interface}.toml").exists()
    return False


def networks() -> list[str]:
    """Those that this host coordinates, so far as one can tell."""
    names: set[str] = set()
    for folder, pattern in ((_CONFIGS, "*.toml"), (_LINKS, "*")):
        with contextlib.suppress(OSError):
            names |= {path.stem if folder is _CONFIGS else path.name for path in folder.glob(pattern)}
    return sorted(filter(here, names))


def sentence(names: Iterable[str]) -> str:
    return f"this host is the coordinator of {', '.join(names)}, and no peer"


def instead(failure: Failure, interface: str | None = None) -> Failure:
    """In place of a failure to find a network (this one, or any): what this host is, if it is a coordinator."""
    found = networks() if interface is None else [interface] if here(interface) else []
    if not found:
        return failure
    hint = f"innerd is its command here: innerd status {found[0]}, innerd show {found[0]}, innerd --help"
    return not_found("network_not_found", sentence(found), hint)

"""What is known on this host of networks, for shells to offer: their names from the folders, peers and CIDRs from what
lies here. Only files are read; who may not read them is offered less.
"""

import contextlib
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from innerd.command.settings import Settings
    from innerd.wire.ours import NetworkJson

_ALL_PEERS = "names.json"
_ON_COORDINATORS = "innerd.manage.names"  # what reads a log, which a client has not


def known(settings: "Settings", network: str | None, what: str) -> list[str]:
    """The names of some kinds ("networks", "peers", "cidrs", "records", with + between), in order. Whatever is broken:
    no names, and no noise between somebody's words."""
    found: set[str] = set()
    for kind in what.split("+"):
        with contextlib.suppress(Exception):
            found |= set(_networks(settings) if kind == "networks" else _names(settings, str(network), kind))
    return sorted(found)


def _networks(settings: "Settings") -> Iterable[str]:
    return [path.stem for path in (*settings.config_dir.glob("*.toml"), *settings.runtime_dir.glob("*.sock"))]


def _names(settings: "Settings", network: str, what: str) -> Iterable[str]:
    if settings.program == "inn":
        return _told(settings, network, what)
    found: Iterable[str] = importlib.import_module(_ON_COORDINATORS).known(settings, network, what)
    return found


def remember(settings: "Settings", network: str, seen: "NetworkJson | None") -> None:
    """The names of all peers, as a verb of an administrator was told them: the disabled and invited ones, whom nobody
    else hears of, are whom some verbs are for."""
    folder = settings.data_dir / network
    if settings.program != "inn" or seen is None or not folder.is_dir():
        return
    import json

    from innerd.host import files

    told = json.dumps(sorted(peer.name for peer in seen.peers)).encode()
    with contextlib.suppress(OSError):
        if _all_peers(folder) != told:
            files.write_atomically(folder / _ALL_PEERS, told)


def _all_peers(folder: "Path") -> bytes:
    try:
        return (folder / _ALL_PEERS).read_bytes()
    except OSError:
        return b"[]"


def _told(settings: "Settings", network: str, what: str) -> Iterable[str]:
    import json

    from innerd.domain.records import full

    folder = settings.data_dir / network
    told: dict[str, Any] = json.loads((folder / "netmap.json").read_bytes())
    if what == "records":
        return [full(one["owner"], peer["name"]) for peer in told["peers"] for one in peer.get("records", ())]
    more = json.loads(_all_peers(folder)) if what == "peers" else []
    return [*(entry["name"] for entry in told[what]), *more]

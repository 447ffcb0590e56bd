"""What shells are offered in place of names: networks from the folders, peers and CIDRs from what lies on this host.
Only files are read: an answer takes no longer than the start of the program. Who may not read them is offered less."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import click
from click.shell_completion import CompletionItem

from innerd.command.kinds import offered
from innerd.command.networks import installed, interface_of
from innerd.failure import not_found

if TYPE_CHECKING:
    from pathlib import Path

    from innerd.command.settings import Settings
    from innerd.wire.ours import NetworkJson

_ALL_PEERS = "names.json"

_NETWORKS = {"network", "interface", "interfaces"}
_PEERS = {"peer", "peers", "other"}
_CIDRS = {"cidr", "cidr1", "cidr2", "parent"}
_OF_PEERS = {
    *("rename-peer", "enable-peer", "disable-peer", "delete-peer", "retire-peer"),
    *("grant-admin", "revoke-admin", "reissue-invite", "override-peer-endpoint"),
}
_CIDRS_OF = {"rename-cidr": {"which", "name"}, "delete-cidr": {"which", "name"}, "add-cidr": {"parent"}}


class Known(click.types.StringParamType):
    """Text, for which a shell is offered what is known here."""

    def __init__(self, what: Literal["networks", "peers", "cidrs", "records"], *more: str) -> None:
        self.what = what
        self._more = more

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A network may be called by its own name where its interface here has another."""
        text = super().convert(value, param, ctx)
        if self.what != "networks" or ctx is None or ctx.obj is None:
            return text
        here = installed(ctx.obj.config_dir, ctx.obj.runtime_dir)
        if interface_of(here, text) is None and text.lower() in here and text != text.lower():
            hint = f'did you mean "{text.lower()}"?'  # no interface has such a name: it would be refused for that
            raise not_found("network_not_found", f'there is no network "{text}" here', hint)
        return interface_of(here, text) or text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: set[str] = set()
        with contextlib.suppress(Exception):  # whatever is broken: no names, and no noise between somebody's words
            found = set(_networks(ctx.obj) if self.what == "networks" else _names(ctx, self.what))
            for what in self._more:
                found |= set(_names(ctx, what))
        return offered(found, incomplete)


def offer(command: str | None, parameter: click.Parameter) -> None:
    """Give a parameter of a command its names, if it is one that takes some."""
    name = parameter.name
    if isinstance(parameter, click.Argument) and name in _NETWORKS:
        parameter.type = Known("networks")
    elif (name == "name" and command in _OF_PEERS) or name in _PEERS:
        parameter.type = Known("peers")
    elif name in _CIDRS_OF.get(command or "", _CIDRS):
        parameter.type = Known("cidrs")
    elif name == "name" and command == "delete-record":
        parameter.type = Known("records")
    elif command == "audit" and name == "subject":
        parameter.type = Known("peers", "cidrs")
    elif command == "audit" and name == "actor":
        parameter.type = Known("peers")


def _networks(settings: "Settings") -> Iterator[str]:
    for path in (*settings.config_dir.glob("*.toml"), *settings.runtime_dir.glob("*.sock")):
        yield path.stem


def _names(ctx: click.Context, what: str) -> Iterable[str]:
    # Before an option that still waits for its value, click leaves arguments where they were.
    network = ctx.params.get("network") or ctx.params.get("interface") or ctx.args[0]
    return readers[ctx.obj.program](ctx.obj, network, what)


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


def _from_netmap(settings: "Settings", network: str, what: str) -> Iterable[str]:
    import json

    from innerd.domain.records import full

    folder = settings.data_dir / network
    told: dict[str, Any] = json.loads((folder / "netmap.json").read_bytes())
    if what == "records":
        return [full(one["owner"], peer["name"]) for peer in told["peers"] for one in peer.get("records", ())]
    more = json.loads(_all_peers(folder)) if what == "peers" else []
    return [*(entry["name"] for entry in told[what]), *more]


# How a program knows the peers and CIDRs of a network; innerd adds its own.
readers: dict[str, Callable[["Settings", str, str], Iterable[str]]] = {"inn": _from_netmap}

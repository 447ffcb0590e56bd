"""Which parameters of a command are names that are known on this host, for a shell to offer (`known`)."""

import contextlib
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem

from innerd.command.kinds import offered
from innerd.command.known import known
from innerd.command.networks import installed, interface_of
from innerd.failure import not_found

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
        self.more = more

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
        with contextlib.suppress(IndexError):
            network = None if self.what == "networks" else _network(ctx)
            return offered(known(ctx.obj, network, "+".join((self.what, *self.more))), incomplete)
        return []


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


def _network(ctx: click.Context) -> str:
    # Before an option that still waits for its value, click leaves arguments where they were.
    found: str = ctx.params.get("network") or ctx.params.get("interface") or ctx.args[0]
    return found

"""The verbs of `inn` that look: who is there and how each is reached, how this membership is, what is wrong."""

import os
from typing import TYPE_CHECKING, Any

import click

from innclient import coordinated
from innclient.paths import installed, paths_of
from innclient.verbs.flags import names_of, tunnel_of
from innerd.admin.ways import CONNECT
from innerd.command import listing, output
from innerd.command.options import Command, alias, json_flag, require_root
from innerd.command.settings import Settings, settings_of
from innerd.failure import REFUSED, TRUST, Failure

if TYPE_CHECKING:
    from innclient.core.views import NetworkView, StatusView
    from innerd.admin import inspect
    from innerd.wire.ours import Status


# Of a table of peers; who is asked for no columns gets a paragraph a peer.
COLUMNS = ("NAME", "IP", "CIDR", "PATH", "ENDPOINT", "HANDSHAKE")
ON_REQUEST = ("SINCE", "RECEIVED", "SENT", "RIGHTS", "ID", "KEY")


@click.command("show", cls=Command)
@click.argument("interface", required=False)
@click.option("-s", "--short", is_flag=True, help="One line a peer.")
@click.option("-t", "--tree", is_flag=True, help="Peers below their CIDRs.")
@json_flag()
@listing.looks(*COLUMNS, *ON_REQUEST)
@click.pass_context
def show(context: click.Context, interface: str | None = None, short: bool = False, tree: bool = False) -> None:
    """Who is in the network, and how each is reached."""
    listing.shown(lambda: _show(settings_of(context), interface, short=short, tree=tree))


def _show(settings: Settings, interface: str | None, *, short: bool, tree: bool) -> int:
    from innclient.verbs import show as rendering

    names = [interface] if interface else installed(settings)
    views = [_view(settings, name) for name in names]
    if settings.as_json:
        rendering.as_json(views)
        return 0
    if not views:
        output.line("No network is installed here.")
        if coordinating := coordinated.networks():
            what = coordinated.sentence(coordinating)
            output.line(f"T{what[1:]}: see innerd show {coordinating[0]}.")
    for view in views:
        if listing.has_columns():
            rendering.as_table(view, COLUMNS, ON_REQUEST, named=len(views) > 1)
        else:
            rendering.as_text(view, short=short, tree=tree, whole_keys=settings.verbose > 0)
    return 0


def _view(settings: Settings, interface: str) -> "NetworkView":
    """From the agent, else from the files and the device, for which one must be root."""
    from innclient.agent.asking import ask_agent
    from innclient.core.views import NetworkView

    paths = paths_of(settings, interface)
    found = ask_agent(paths, "show", NetworkView)
    if found is not None:
        return found
    from innclient import config
    from innclient.agent.views import from_files

    require_root("inn show without a running agent")
    config.load(paths)
    return from_files(paths, tunnel_of(settings, interface))


@click.command("status", cls=Command)
@click.argument("interface")
@json_flag()
@listing.looks()
@click.pass_context
def status(context: click.Context, interface: str) -> None:
    """How this machine's membership is. Exit status 7 where trust is broken, 3 where it was disabled or retired."""
    context.exit(listing.shown(lambda: _status(settings_of(context), interface)))


def _status(settings: Settings, interface: str) -> int:
    from innclient.agent.asking import ask_agent
    from innclient.core.views import StatusView
    from innclient.verbs import show as rendering

    paths = paths_of(settings, interface)
    found: StatusView | None = ask_agent(paths, "status", StatusView)
    if found is None:
        from innclient import config
        from innclient.agent.views import status_from_files

        require_root("inn status without a running agent")
        loaded = config.load(paths)
        names = names_of(loaded.config.agent, {})
        found = status_from_files(paths, loaded, names, tunnel_of(settings, interface))
    network, names_work, overlaps = _of_network(settings, found), _names_work(found), _overlaps(settings, found)
    if settings.as_json:
        output.document(rendering.merged(found, network, names_work, overlaps))
    else:
        rendering.status(found, names_work, overlaps)
        if network is not None:
            rendering.network_status(network)
    if found.forked or found.refused:
        return TRUST
    return 0 if found.shut_out is None else REFUSED


def _overlaps(settings: Settings, found: "StatusView") -> list[str]:
    """What else of this host lies in the network's range, so far as that can be told."""
    from innerd.domain.values import parse_address, parse_range
    from innerd.host.overlap import of_host, overlaps_of
    from innerd.wireguard.device import DeviceError

    if not found.range:
        return []
    block = parse_range(found.range)
    try:
        own = of_host(found.interface)
        said = overlaps_of(block, own)
        # Who peers are is only asked where it matters: a resolver or an administrator may be one.
        peers = [parse_address(peer.ip) for peer in _view(settings, found.interface).peers] if said else []
        return overlaps_of(block, own, peers)
    except DeviceError:
        return []


def _names_work(found: "StatusView") -> bool | None:
    """Asked of the host's resolver, for this machine's own name."""
    from innerd.host.lookup import resolved

    if not found.has_agent or not found.name or found.dns.mode == "none":
        return None
    name = f"{found.name}.{found.domain}".rstrip(".")
    return found.ip in (resolved(name) or ())


def _of_network(settings: Settings, found: "StatusView") -> "Status | Failure | None":
    """How the network is, where this machine is an administrator's and the agent is connected."""
    if not (found.is_admin and found.is_connected and os.geteuid() == 0):
        return None
    from innerd.admin import inspect

    context: Any = click.get_current_context()
    return inspect.status_or_failure(context.meta[CONNECT], settings, found.interface)


@click.command("doctor", cls=Command)
@click.argument("interface", required=False)
@json_flag()
@click.pass_context
def doctor(context: click.Context, interface: str | None) -> None:
    """Is everything as it should be on this host? If not: what is wrong, and what helps."""
    from innclient.verbs import doctor as diagnosing

    diagnosing.run(context, interface, installed)


def way(one: str, other: str) -> "inspect.Way | None":
    """How the peer that is not this machine is reached, for the command at hand."""
    import msgspec

    from innclient.agent.asking import ask_agent
    from innclient.core.views import NetworkView
    from innerd.admin import inspect

    context: Any = click.get_current_context()
    paths = paths_of(settings_of(context), context.params["network"])
    view = ask_agent(paths, "show", NetworkView)
    shown = {peer.name: peer for peer in view.peers} if view is not None else {}
    pair = [shown[name] for name in (one, other) if name in shown]
    if sum(peer.is_me for peer in pair) != 1 or len(pair) != 2:
        return None
    return msgspec.convert(next(peer for peer in pair if not peer.is_me), inspect.Way, from_attributes=True)


VERBS = [show, alias(show, "list"), status, doctor]

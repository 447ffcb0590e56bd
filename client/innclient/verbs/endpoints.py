"""The verbs of `inn` about where things are reached: its own port, its own endpoint, another peer's endpoint. What is
said here takes effect at once, on an interface that is up and by the agent that runs; no tunnel is dropped."""

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from innclient import config
from innclient.config import Loaded
from innclient.paths import Paths, paths_of
from innclient.verbs.flags import tunnel_of
from innerd.admin.naming import nobody
from innerd.admin.peers import one_of
from innerd.admin.verb import Call, verb
from innerd.command import output, prompt
from innerd.command.options import Command, json_flag, require_root, run
from innerd.command.settings import Settings, settings_of
from innerd.domain.naming import among
from innerd.domain.values import Endpoint, endpoint_of, parse_endpoint, parse_own_endpoint, split_endpoint
from innerd.failure import REFUSED, Failure, usage
from innerd.host import files
from innerd.wire.innernet import EndpointContents

if TYPE_CHECKING:
    from innclient.agent.session import Session

_UNSET = click.option("-u", "--unset", is_flag=True, help="Take it back.")
_ENDPOINT = click.option("-e", "--endpoint", metavar="HOST:PORT", help="The endpoint.")
_YES = click.option("--yes", is_flag=True, help="Ask nothing.")


@click.command("set-listen-port", cls=Command)
@click.argument("interface")
@click.argument("port", metavar="[PORT]", required=False, type=click.IntRange(1, 65535))
@click.option("-l", "--listen-port", type=click.IntRange(1, 65535), help="The UDP port.")
@_UNSET
@_YES
@json_flag()
@click.pass_context
def set_listen_port(
    context: click.Context, interface: str, port: int | None, listen_port: int | None, unset: bool, yes: bool
) -> None:
    """Listen on another UDP port from now on; with --unset on any that is free."""
    if port is not None and listen_port is not None:
        raise usage(f"--listen-port is given twice, as {port} and {listen_port}")
    listen_port = port if listen_port is None else listen_port
    settings, paths, loaded = _opened(context, interface, "set-listen-port")
    before = loaded.config.interface.listen_port
    if unset and listen_port is not None:
        raise usage("--listen-port and --unset exclude each other")
    if not unset and listen_port is None:
        listen_port = int(
            prompt.text("Listen port", "--listen-port or --unset", str(before or 51820), check=prompt.port)
        )
    if listen_port == before:
        _said(settings, {"listen_port": before}, f"{interface} has {_port_text(before)} already.")
        return
    prompt.confirm(f"Let {interface} have {_port_text(listen_port)}?", yes=yes)

    def change(document: config.Config) -> None:
        document.interface.listen_port = listen_port

    _changed(settings, paths, loaded, change)
    _said(settings, {"listen_port": listen_port}, f"{interface} has {_port_text(listen_port)} now.")


def _port_text(port: int | None) -> str:
    return "no port of its own" if port is None else f"listen port {port}"


@click.command("override-peer-endpoint", cls=Command)
@click.argument("interface")
@click.argument("peer", required=False)
@click.option("--name", help="The peer: its name, name in DNS, address or number.")
@_ENDPOINT
@_UNSET
@_YES
@json_flag()
@click.pass_context
def override_peer_endpoint(
    context: click.Context,
    interface: str,
    peer: str | None,
    name: str | None,
    endpoint: str | None,
    unset: bool,
    yes: bool,
) -> None:
    """Reach a peer at another endpoint than the network tells, from this machine."""
    from innclient.agent.store import load_netmap

    name = one_of(peer, name, "--name")
    settings, paths, loaded = _opened(context, interface, "override-peer-endpoint")
    if unset and endpoint is not None:
        raise usage("--endpoint and --unset exclude each other")
    netmap = load_netmap(paths)[0]
    others = sorted((peer for peer in netmap.peers.values() if peer.id != netmap.me), key=lambda peer: peer.name)
    typed = name or prompt.choose(
        "Peer", "PEER or --name", [(peer.name, f"{peer.name} ({peer.ip})") for peer in others]
    )
    found = among(others, netmap.network, typed, lambda peer: (peer.name, str(peer.ip), peer.id))
    if found is None:
        raise nobody(typed, [other.name for other in others], f"inn show {interface} lists them")
    name, ip = found.name, str(found.ip)
    wanted = None if unset else parse_endpoint(endpoint or prompt.text("Endpoint", "--endpoint or --unset"))
    if wanted is not None and not split_endpoint(wanted)[1]:
        raise usage(f"port 0 of {wanted} is no port", "write host:port")
    prompt.confirm(f"Reach {name} at {wanted or 'what the network tells'}?", yes=yes)

    def change(document: config.Config) -> None:
        overrides = dict(document.peer_endpoint_overrides)
        overrides.pop(ip, None)
        if wanted is not None:
            overrides[ip] = wanted
        document.peer_endpoint_overrides = overrides

    _changed(settings, paths, loaded, change)
    content = {"name": name, "ip": ip, "endpoint": wanted}
    _said(settings, content, f"{name} is reached at {wanted or 'what the network tells'} from here.")


@verb("override-endpoint", _ENDPOINT, _UNSET, _YES)
async def override_endpoint(call: Call, endpoint: str | None, unset: bool) -> None:
    """Tell all others to reach this machine at an endpoint, whatever the coordinator sees. The address 0.0.0.0 stands
    for the one that is seen: then only the port is overridden."""
    if unset and endpoint is not None:
        raise usage("--endpoint and --unset exclude each other")
    context: Any = click.get_current_context()
    port = config.load(paths_of(settings_of(context), context.params["network"])).config.interface.listen_port
    if not unset and port is None:
        raise Failure(
            REFUSED,
            "no_listen_port",
            "this interface has no port of its own: others would be told one that changes",
            "inn set-listen-port gives it one",
        )
    wanted: Endpoint | None = None
    if not unset:
        typed = endpoint or prompt.text("Endpoint", "--endpoint or --unset", _proposed(port or 0), parse_own_endpoint)
        wanted = parse_own_endpoint(typed)
    call.confirm(f"Let all others reach this machine at {wanted or 'what is seen of it'}?")
    body = EndpointContents(option="Unset") if wanted is None else EndpointContents(option="Set", content=wanted)
    reply = await call.api.change("PUT", "/v1/user/endpoint", body)
    content = {"endpoint": wanted, "revision": reply.revision}
    call.tell(content, f"Others reach this machine at {wanted or 'what is seen of it'} now.")


def _proposed(port: int) -> str:
    """An endpoint to begin with: the address that is seen of this machine, whichever, or, asked for, the public one."""
    if prompt.is_interactive() and prompt.yes_no("Find the public address out (asks 9.9.9.9)?", "--endpoint"):
        from innerd.host.publicip import public_address

        try:
            return endpoint_of(str(public_address()), port)
        except Failure as failure:
            output.line(f"{failure.message}: say it yourself", out=sys.stderr)
    return f"0.0.0.0:{port}"


# -- the config and the device ----------------------------------------------------------------------------------------


def _opened(context: click.Context, interface: str, what: str) -> tuple[Settings, Paths, Loaded]:
    settings = settings_of(context)
    require_root(f"inn {what}")
    paths = paths_of(settings, interface)
    return settings, paths, config.load(paths)


def _changed(settings: Settings, paths: Paths, loaded: Loaded, change: Callable[[config.Config], None]) -> None:
    """Change the config and what runs by it; where that refuses, the config is as it was."""
    before, port = paths.config.read_bytes(), loaded.values.listen_port
    change(loaded.config)
    config.save(paths, loaded.config)
    after = config.load(paths)
    try:
        _reloaded(settings, paths, after, is_other_port=after.values.listen_port != port)
    except BaseException:
        files.write_atomically(paths.config, before)
        with contextlib.suppress(Exception):
            _reloaded(settings, paths, config.load(paths), is_other_port=False)
        raise


def _reloaded(settings: Settings, paths: Paths, loaded: Loaded, *, is_other_port: bool) -> None:
    """By the agent, else by ourselves, where the interface is up."""
    from innclient.agent.asking import ask_agent
    from innclient.agent.run import holding
    from innclient.verbs.flags import session_of
    from innerd.wireguard.ownership import PEER, claim

    if ask_agent(paths, "reload", bool) is not None:
        return
    tunnel = tunnel_of(settings, paths.interface)
    with holding(paths):
        if claim(tunnel.backend, paths.interface, PEER, (loaded.values.private_key,)):
            if is_other_port:
                tunnel.listen(loaded.values.listen_port)
            run(_reapplied(session_of(settings, paths.interface, {})))


async def _reapplied(session: "Session") -> None:
    await session.bring_up()
    await session.close()


def _said(settings: Settings, content: dict[str, Any], text: str) -> None:
    if settings.as_json:
        output.document(content)
    else:
        output.line(text)


VERBS = [set_listen_port, override_endpoint, override_peer_endpoint]

"""`inn doctor`: is this host able to be a peer, and if not, what is wrong and what helps."""

import asyncio
import contextlib
import email.utils
import time
from collections.abc import Callable, Iterable, Iterator

import click
import httpx2
from msgspec.structs import replace

from innclient import config, coordinated
from innclient.agent import store, stream
from innclient.agent.asking import ask_agent
from innclient.agent.run import why_unreachable
from innclient.agent.tunnel import Tunnel
from innclient.config import Loaded
from innclient.core.views import NetworkView, StatusView, refused_domain
from innclient.paths import Paths, paths_of
from innclient.verbs.flags import tunnel_of
from innerd import __version__
from innerd.admin.client import unheard
from innerd.command.findings import report, tried
from innerd.command.settings import Settings, settings_of
from innerd.domain.values import Address, Endpoint, endpoint_address, parse_address, split_endpoint
from innerd.failure import TRUST, UNREACHABLE, Failure
from innerd.host import checks
from innerd.host.checks import Finding, failed, ok, unknown, warning
from innerd.host.domains import resolved
from innerd.host.reachability import Sign, probe
from innerd.wireguard import ownership
from innerd.wireguard.device import DeviceError

_ANSWER = 3.0  # seconds


def diagnose(settings: Settings, names: Iterable[str]) -> list[Finding]:
    """All that can be found out about this host and some interfaces."""
    found = [*checks.privileges(finds_ways=True), *tried("disk", checks.space, settings.data_dir)]
    interfaces = list(names)
    if not interfaces:
        found += tried("wireguard", checks.wireguard, "inn-doctor", settings.backend)
        coordinating = coordinated.networks()
        what = f"{coordinated.sentence(coordinating)}: see innerd doctor {coordinating[0]}" if coordinating else None
        found.append(ok("networks", what or "no network is installed here: inn install INVITATION joins one"))
    for name in interfaces:
        found += [replace(finding, network=name) for finding in _of_interface(settings, paths_of(settings, name))]
    return found


def _of_interface(settings: Settings, paths: Paths) -> Iterator[Finding]:
    name = paths.interface
    yield from tried("wireguard", checks.wireguard, name, settings.backend)
    try:
        loaded = config.load(paths)
    except (Failure, OSError) as error:
        yield checks.broken(error)
        return
    yield from checks.modes("config", paths.config_dir, paths.data)
    yield from tried("memory", _memory, paths)
    try:
        tunnel = tunnel_of(settings, name)
    except DeviceError as error:
        yield unknown("interface", error.message)
        return
    values = loaded.values
    towards = next(iter(resolved(values.external, _ANSWER, values.address.network) or []), None)
    backend, up = tunnel.backend, f"inn up -d {name} (or: systemctl start inn@{name})"
    whose, address = (ownership.PEER, values.private_key), str(values.address)
    yield from tried("interface", checks.interface, backend, name, *whose, address, up, paths.data)
    yield from tried("manager", checks.managers, name)
    yield from tried("port", checks.port, backend, name, values.listen_port)
    if tunnel.is_up():
        listen_port, link = backend.get(name).listen_port, checks.default_link()
        yield from tried("firewall", _firewall, listen_port, link)
    yield from tried("range", checks.grounds, name, values.address.network, _peers(paths))
    yield from tried("mtu", checks.mtu, name, endpoint_address(towards) if towards else None, values.address.ip)
    yield from tried("coordinator", _coordinator, paths, loaded, tunnel, towards)
    yield from tried("unit", checks.unit, f"inn@{name}")
    yield from tried("agent", _agent, paths)


def _memory(paths: Paths) -> Iterator[Finding]:
    """Whether what was learned can be read: pins, how far the log was seen, the network."""
    try:
        damage = store.damage(paths)
    except Failure as error:
        yield failed("memory", error.message, error.hint, error.status)
        return
    if damage is None:
        yield ok("memory", f"pins and network in {paths.data} can be read")
    else:
        yield warning("memory", damage, f"nothing is lost: inn up -d {paths.interface} fetches it anew")


def _peers(paths: Paths) -> list[Address]:
    """The addresses at which peers were seen."""
    with contextlib.suppress(Failure):
        return [peer.ip for peer in store.load_netmap(paths)[0].peers.values()]
    return []


def _firewall(listen_port: int, link: str | None) -> Iterator[Finding]:
    return checks.filtered("firewall", "udp", listen_port, link, needed=False)


def _coordinator(paths: Paths, loaded: Loaded, tunnel: Tunnel, endpoint: Endpoint | None) -> Iterator[Finding]:
    values = loaded.values
    if endpoint is None:
        host = split_endpoint(values.external)[0]
        yield failed("coordinator", f"{host} can't be resolved", "see to this host's DNS", UNREACHABLE)
        return
    ahead: float | None = None
    try:
        ahead = asyncio.run(_ahead(loaded, tunnel.link))
        yield ok("coordinator", f"answers at {values.internal_address} through the tunnel ({endpoint})")
    except (httpx2.HTTPError, OSError) as error:
        failure = asyncio.run(why_unreachable(paths, tunnel, loaded, unheard(error)))
        text, fix = failure.message, failure.hint
        if failure.code == "tunnel_unreachable":
            text, fix = _silent(text, probe(endpoint), split_endpoint(endpoint)[1])
        yield failed("coordinator", text, fix, failure.status)
    yield from checks.clock(ahead)


def _silent(text: str, presence: Sign, port: int) -> tuple[str, str]:
    match presence:
        case Sign.REFUSED:
            return f"{text}; its host is up, and nothing listens there", "start innerd serve there"
        case Sign.ALIVE:
            why = "a firewall drops UDP there, or this peer was disabled or retired"
            return f"{text}; its host answers a ping: {why}", f"let UDP port {port} in there; ask an administrator"
    return f"{text}; its host answers nothing at all", "see to this host's network, and whether the coordinator is up"


async def _ahead(loaded: Loaded, link: str) -> float:
    """This host's clock less the coordinator's. Raises httpx2.HTTPError where that does not answer."""
    values = loaded.values
    async with stream.client(values, link) as client:
        began = time.time()
        response = await client.get("/v1/user/capabilities", timeout=httpx2.Timeout(_ANSWER))
        told = email.utils.parsedate_to_datetime(response.headers["date"]).timestamp()
    return (began + time.time()) / 2 - told - 0.5  # it tells whole seconds


def _agent(paths: Paths) -> Iterator[Finding]:
    status = ask_agent(paths, "status", StatusView)
    if status is None:
        fix = f"systemctl enable --now inn@{paths.interface} (or: inn up -d {paths.interface})"
        yield warning("agent", "does not run: changes are not followed, and no ways are looked for", fix)
        return
    if status.release not in ("", __version__):
        text = f"the agent that runs is of release {status.release}, and {__version__} is installed"
        yield warning("agent", text, f"systemctl restart inn@{paths.interface}")
    if status.forked or status.refused:
        yield failed("trust", "what is told is not what was pinned", f"inn status {paths.interface}", TRUST)
    if status.twins:
        text = f"another machine has this peer's key: it is seen at {' and '.join(status.twins)} in turns"
        yield failed("key", text, f"on one of the two: inn uninstall {paths.interface}, and an invitation of its own")
    for trouble in (status.device_error, status.disk_error):
        if trouble:
            yield failed("agent", trouble, f"see its log: journalctl -u inn@{paths.interface}")
    if not status.is_connected:
        yield warning("agent", f"is not connected: {status.trouble or 'connecting'}")
    else:
        yield ok("agent", f"follows the network, at revision {status.applied}")
    yield from _reach(paths, status)
    if (refused := refused_domain(status)) is not None:
        yield warning("names", refused, f"[interface] suffix in {paths.config} says what they end in")
    if status.name:
        address, dns = parse_address(status.ip), status.dns
        yield from checks.names(f"{status.name}.{status.domain}", address, dns.mode, dns.address, dns.trouble)
    yield from _ways(paths)


def _reach(paths: Paths, status: StatusView) -> Iterator[Finding]:
    """By what the coordinator is reached, and what this machine relays for others."""
    if status.tcp:
        text = f"nothing is heard of the coordinator by UDP: it is reached by TCP, at {status.tcp}, which is slower"
        yield warning("tcp", text, "let UDP out to it; it goes back by itself")
    found = status.relaying
    if found is None:
        return
    if found.mode == "off":
        fix = f"[relay] serve in {paths.config}, or an administrator: disallow-relay --peer {status.name}"
        yield warning("relay", f"may relay for others, and does not: {found.why}", fix)
    else:
        yield checks.relaying(found, "relays for others")


def _ways(paths: Paths) -> Iterator[Finding]:
    view = ask_agent(paths, "show", NetworkView)
    if view is None:
        return
    stuck = [peer.name for peer in view.peers if not peer.is_me and peer.path == "none" and peer.tried]
    if stuck:
        fix = f"inn why {paths.interface} {stuck[0]}"
        yield warning("ways", f"no way was found to {', '.join(stuck[:5])}{' …' if len(stuck) > 5 else ''}", fix)


def run(context: click.Context, interface: str | None, installed: Callable[[Settings], list[str]]) -> None:
    settings = settings_of(context)
    names = [interface] if interface else installed(settings)
    report(context, settings, diagnose(settings, names))

"""`innerd doctor`: is this host able to coordinate, and if not, what is wrong and what helps."""

import time
from collections.abc import Iterator
from ipaddress import ip_interface

from innerd.command.findings import tried
from innerd.command.settings import Settings
from innerd.config import Config, Paths, address_of, load, network_range
from innerd.domain.claims import is_own_suffix
from innerd.domain.values import endpoint_address, parse_endpoint, split_endpoint
from innerd.failure import SYSTEM, TRUST, Failure
from innerd.host import checks
from innerd.host.checks import Finding, failed, ok, unknown, warning
from innerd.host.lookup import resolved
from innerd.manage import backup
from innerd.serve import heads
from innerd.wire.caller import is_older
from innerd.wire.ours import Status
from innerd.wire.reach import RelayStatus
from innerd.wireguard import links, ownership
from innerd.wireguard.backend import Backend, choose
from innerd.wireguard.device import DeviceError
from innerd.wireguard.holders import holder

_RECENT = 180.0  # seconds


def diagnose(settings: Settings, paths: Paths, status: Status | Failure) -> Iterator[Finding]:
    """All that can be found out about a network on this host; `status` is what its coordinator says of itself."""
    name = paths.network
    yield from checks.privileges(finds_ways=False)
    yield from tried("disk", checks.space, paths.database.parent)
    yield from tried("wireguard", checks.wireguard, name, settings.backend)
    try:
        config = load(paths)
    except (Failure, OSError) as error:
        yield checks.broken(error)
        return
    yield from checks.modes("config", paths.config.parent, paths.database, paths.database.parent)
    try:
        backend = choose(settings.backend, name)
    except DeviceError as error:
        yield unknown("interface", error.message)
        return
    address = f"{address_of(config)}/{config.network_cidr_prefix}"
    serve = f"innerd serve {name} (or: systemctl start innerd@{name})"
    private_key, who = config.private_key, ownership.COORDINATOR
    yield from tried("interface", checks.interface, backend, name, who, private_key, address, serve, paths.database)
    yield from tried("manager", checks.managers, name)
    yield from tried("port", checks.port, backend, name, config.listen_port)
    yield from tried("firewall", _firewall, name, config)
    yield from tried("range", _grounds, backend, name, config)
    if not is_own_suffix(config.dns.suffix):
        text = f"they end in {config.dns.suffix}, a domain of others: each machine takes that with leave only"
        yield warning("names", text, f"[dns] suffix in {paths.config}: wg, internal, home.arpa, or names below them")
    yield from tried("mtu", checks.mtu, name, None, address_of(config))
    yield from checks.clock(None)
    yield from tried("log", _log, paths)
    yield from tried("unit", checks.unit, f"innerd@{name}")
    yield from tried("serving", _serving, name, config, status)
    if isinstance(status, Status):
        yield from tried("endpoint", _endpoint, status.endpoint, config)
    yield from tried("peers", _peers, backend, name)


def _grounds(backend: Backend, name: str, config: Config) -> Iterator[Finding]:
    peers = {address_of(config)}
    if backend.exists(name):
        allowed = [block for peer in backend.get(name).peers.values() for block in peer.allowed_ips]
        peers |= {ip_interface(block).ip for block in allowed}
    return checks.grounds(name, network_range(config), peers)


def _firewall(name: str, config: Config) -> Iterator[Finding]:
    yield from checks.filtered("firewall", "udp", config.listen_port, checks.default_link(), needed=True)
    yield from checks.filtered("firewall", "tcp", config.listen_port, name, needed=True, only=True)
    for protocol in ("udp", "tcp") if config.dns.enabled else ():
        yield from checks.filtered("firewall", protocol, 53, name, needed=True, only=True)


def _log(paths: Paths) -> Iterator[Finding]:
    """Every record and every page, and that it goes on from the head that is remembered."""
    try:
        found = backup.verified(paths.database, heads.remembered(paths.database))
    except Failure as error:
        yield failed("log", error.message, error.hint, error.status)
        return
    yield ok("log", f"{found.events} events, none of them changed; the file is whole")


def _serving(name: str, config: Config, status: Status | Failure) -> Iterator[Finding]:
    if isinstance(status, Failure):
        yield failed("serving", status.message, status.hint, status.status)
    elif status.is_serving:
        yield ok("serving", f"revision {status.revision}, {status.online} of {status.peers} peers online")
        yield from _releases(status)
        yield from _relay(status.relay)
        for trouble in status.troubles:
            exit_status = TRUST if trouble.code in ("log_corrupt", "log_rewound") else SYSTEM
            yield failed(trouble.kind, trouble.text, trouble.hint, exit_status)
    else:
        fix = f"systemctl start innerd@{name} (or: innerd serve {name})"
        yield failed("serving", "nobody serves this network", fix)
        needed = [("tcp", config.listen_port), *([("udp", 53), ("tcp", 53)] if config.dns.enabled else [])]
        for protocol, number in needed:
            by = holder(protocol, number)
            if by is not None:
                yield warning("serving", f"{protocol.upper()} port {number} is in use by {by}: that may hinder it")


def _releases(status: Status) -> Iterator[Finding]:
    """Agents that are older than their coordinator go on as they are; what is new they don't do."""
    old = {what: count for what, count in status.software.items() if is_older(what, status.version)}
    if old:
        text = f"{', '.join(f'{count} run {what}' for what, count in old.items())}; this is innerd {status.version}"
        yield warning("releases", f"older agents: {text}", "upgrade them: list-peers names who runs what")


def _relay(found: RelayStatus | None) -> Iterator[Finding]:
    """How it relays, and what would make it the faster way."""
    if found is not None and found.tcp is not None:
        yield ok("tcp", f"who is where UDP is blocked comes by TCP to {found.tcp.at}: {len(found.tcp.peers)} peers")
    if found is not None and found.mode != "off":  # why it can't, where it should, is a trouble
        yield checks.relaying(found, "relays")


def _endpoint(endpoint: str, config: Config) -> Iterator[Finding]:
    """Whether peers come here by the address that they are told."""
    host, port = split_endpoint(parse_endpoint(endpoint))
    address = endpoint_address(parse_endpoint(endpoint))
    if address is None:
        found = set(resolved(host) or ())
        if not found:
            fix = f"see to DNS, or: innerd set-endpoint NETWORK ADDRESS:{port}"
            yield failed("endpoint", f"{host} can't be resolved", fix)
            return
    else:
        found = {str(address)}
    here = {str(one) for one in links.host_addresses()}
    if address is not None and address in network_range(config):
        text = f"{endpoint} lies inside the network itself: nobody can come by it"
        yield failed("endpoint", text, "innerd set-endpoint")
    elif not found & here:
        text = f"peers come to {endpoint}, which is no address of this host: something must forward UDP there to here"
        yield warning("endpoint", text, f"forward UDP port {port} to port {config.listen_port} of this host")
    elif port != config.listen_port:
        text = f"peers come to port {port}, but it listens on {config.listen_port}"
        yield failed("endpoint", text, "innerd set-endpoint")
    else:
        yield ok("endpoint", f"peers come to {endpoint}, which is this host")


def _peers(backend: Backend, name: str) -> Iterator[Finding]:
    if not backend.exists(name):
        return
    entries = backend.get(name).peers.values()
    recent = sum(e.last_handshake is not None and time.time() - e.last_handshake < _RECENT for e in entries)
    ever = sum(e.last_handshake is not None for e in entries)
    if entries and not ever:
        text = f"none of {len(entries)} peers has ever shaken hands: their packets may not come this far"
        yield warning("peers", text, "see to firewalls and port forwarding on the way")
    else:
        yield ok("peers", f"{recent} of {len(entries)} peers shook hands in the last three minutes")

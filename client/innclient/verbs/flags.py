"""The flags that several verbs of `inn` share, and what they make: paths, a tunnel, a keeper, the [agent] section."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from innclient.paths import installed, paths_of
from innerd.command.settings import Settings
from innerd.failure import Failure, usage

if TYPE_CHECKING:
    from innclient import config
    from innclient.agent.session import Session
    from innclient.agent.tunnel import Tunnel
    from innclient.names.publisher import NameSettings
    from innerd.host.overlap import Neighbour

F = TypeVar("F", bound=Callable[..., Any])

HOSTS = (
    click.option("--hosts-path", type=click.Path(path_type=Path), help="The hosts file (default /etc/hosts)."),
    click.option("--no-write-hosts", is_flag=True, help="Leave the hosts file alone."),
    click.option("--host-suffix", help="Suffix of names in the hosts file (default <network>.wg)."),
    click.option(
        "--dns",
        type=click.Choice(["auto", "resolved", "resolvconf", "hosts", "none"]),
        metavar="MODE",
        help="How names resolve on this host: auto (by what it has), resolved, resolvconf, hosts, none.",
    ),
    click.option("--log-queries", is_flag=True, help="Log each DNS query that is answered here."),
)
NAT = (
    click.option("--no-nat-traversal", is_flag=True, help="Don't try the endpoints of silent peers."),
    click.option("--no-relay", is_flag=True, help="Don't reach peers by way of the coordinator."),
    click.option("--exclude-nat-candidates", multiple=True, metavar="CIDR", help="Never report these addresses."),
    click.option("--no-nat-candidates", is_flag=True, help="Report no addresses of this host."),
)


def with_options(*options: Any) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def session_of(settings: Settings, interface: str, flags: dict[str, Any]) -> "Session":
    """An interface with its config, files and device. Not from within an event loop (netlink)."""
    from innclient import config
    from innclient.agent.session import Choices, Session
    from innclient.agent.tunnel import Making
    from innerd.domain.values import parse_range

    if flags.get("hosts_path") and flags.get("no_write_hosts"):
        raise usage("--hosts-path and --no-write-hosts exclude each other")
    paths = paths_of(settings, interface)
    loaded = config.load(paths)
    section = loaded.config.agent
    excluded = [str(parse_range(text)) for text in flags.get("exclude_nat_candidates", ())]
    section.exclude_nat_candidates = [*section.exclude_nat_candidates, *excluded]
    choices = Choices(
        names=names_of(section, flags),
        making=Making(
            mtu=settings.mtu or section.mtu,
            routing=not settings.no_routing,
            try_endpoints=section.nat_traversal and not flags.get("no_nat_traversal"),
            take_relay=section.relay and not flags.get("no_relay"),
        ),
        report_candidates=not flags.get("no_nat_candidates"),
    )
    return Session(paths, loaded, tunnel_of(settings, interface), choices)


def names_of(section: "config.AgentSection", flags: dict[str, Any]) -> "NameSettings":
    """Where names are written and answered, by the config and the flags."""
    from innclient.names.publisher import NameSettings

    suffix = flags.get("host_suffix")
    return NameSettings(
        path=flags.get("hosts_path") or Path(section.hosts_path),
        suffix=section.host_suffix if suffix is None else suffix,
        write=section.write_hosts and not flags.get("no_write_hosts"),
        dns=flags.get("dns") or section.dns,
        address=section.dns_address,
        on_tunnel=section.dns_on_tunnel,
        log_queries=bool(flags.get("log_queries")),
    )


def neighbours(settings: Settings, interface: str) -> "list[Neighbour]":
    """The other networks that are installed here, so far as their configs can be read."""
    from innclient import config
    from innerd.domain.claims import USUAL_SUFFIX
    from innerd.host.overlap import Neighbour

    found = []
    for name in installed(settings):
        with contextlib.suppress(Failure, OSError):
            values = config.load(paths_of(settings, name)).values
            domain = f"{values.network}.{values.suffix or USUAL_SUFFIX}"
            found.append(Neighbour(name=name, block=values.address.network, port=values.listen_port, domain=domain))
    return [other for other in found if other.name != interface]


def tunnel_of(settings: Settings, interface: str) -> "Tunnel":
    from innclient.agent.tunnel import Tunnel
    from innerd.wireguard.backend import choose

    return Tunnel(choose(settings.backend, interface), interface, paths_of(settings, interface).data)


def agent_section(settings: Settings, flags: dict[str, Any]) -> "config.AgentSection":
    """The flags of `install`, kept: the service that follows takes none."""
    from innclient import config
    from innerd.domain.values import parse_range

    if flags.get("hosts_path") and flags.get("no_write_hosts"):
        raise usage("--hosts-path and --no-write-hosts exclude each other")
    excluded = [str(parse_range(text)) for text in flags.get("exclude_nat_candidates", ())]
    if flags.get("no_nat_candidates"):
        excluded = ["0.0.0.0/0", "::/0"]
    kept = config.AgentSection(exclude_nat_candidates=excluded, mtu=settings.mtu, host_suffix=flags.get("host_suffix"))
    kept.nat_traversal = not flags.get("no_nat_traversal")
    kept.relay = not flags.get("no_relay")
    kept.write_hosts = not flags.get("no_write_hosts")
    if flags.get("hosts_path"):
        kept.hosts_path = str(flags["hosts_path"])
    if flags.get("dns"):
        kept.dns = flags["dns"]
    return kept

"""The client's config file `/etc/inn/<interface>.toml`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from ipaddress import IPv4Interface, IPv6Interface
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from innclient import coordinated
from innclient.paths import Paths
from innerd.admin.invitation import InterfaceSection, Parsed, ServerSection, check
from innerd.command import networks
from innerd.domain.errors import Refused
from innerd.domain.limits import MAX_MTU, MIN_MTU
from innerd.domain.values import Address, Endpoint, parse_address, parse_endpoint, parse_listen, parse_range
from innerd.failure import USAGE, Failure, not_found
from innerd.host import files, toml
from innerd.relay.limits import limits_of

Interface = IPv4Interface | IPv6Interface

DnsMode = Literal["auto", "resolved", "resolvconf", "hosts", "none"]


class AgentSection(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    nat_traversal: bool = True
    relay: bool = True
    exclude_nat_candidates: list[str] = []
    hosts_path: str = "/etc/hosts"
    write_hosts: bool = True
    host_suffix: str | None = None  # None: <network>.wg
    dns: DnsMode = "auto"
    dns_address: str | None = None  # None: the first that is free from 127.0.0.153 on
    dns_on_tunnel: bool = False
    mtu: Annotated[int, Meta(ge=MIN_MTU, le=MAX_MTU)] | None = None
    metrics_listen: str | None = None  # None: nowhere
    metrics_per_peer: bool = False


class RelaySection(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether this machine relays for others, where the network lets it (`innerd allow-relay --peer`), how, and how
    much: as the coordinator's own section."""

    serve: bool = False
    mode: Literal["auto", "userspace"] = "auto"
    per_peer: str = "50 Mbit/s"
    total: str = "200 Mbit/s"


class _Interface(InterfaceSection, rename="kebab", kw_only=True, forbid_unknown_fields=True):
    pass


class _Server(ServerSection, rename="kebab", kw_only=True, forbid_unknown_fields=True):
    pass


class Config(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    interface: _Interface
    server: _Server
    peer_endpoint_overrides: dict[str, str] = {}
    agent: AgentSection = field(default_factory=AgentSection)
    relay: RelaySection = field(default_factory=RelaySection)


class Loaded(Struct, frozen=True, kw_only=True):
    """A config with its values checked."""

    config: Config
    values: Parsed
    overrides: dict[Address, Endpoint]


def load(paths: Paths) -> Loaded:
    """The config of an interface. Raises Failure."""
    try:
        files.check_private(paths.config)
        config = toml.read(paths.config, Config)
    except FileNotFoundError:
        what = f'there is no network "{paths.interface}" here ({paths.config})'
        meant = networks.meant(paths.config_dir, paths.runtime_dir, paths.interface, "inn install INVITATION joins one")
        missing = not_found("network_not_found", what, meant)
        raise coordinated.instead(missing, paths.interface) from None
    try:
        for text in config.agent.exclude_nat_candidates:
            parse_range(text)
        if config.agent.dns_address is not None:
            parse_address(config.agent.dns_address)
        if config.agent.metrics_listen is not None:
            listen_address(config.agent.metrics_listen)
        limits_of(config.relay)
        overrides = {parse_address(ip): parse_endpoint(to) for ip, to in config.peer_endpoint_overrides.items()}
        return Loaded(config=config, values=check(config.interface, config.server), overrides=overrides)
    except (Refused, ValueError) as error:
        raise Failure(USAGE, "config_invalid", f"{paths.config}: {error}") from None


def listen_address(text: str) -> tuple[str, int]:
    """`[agent] metrics-listen`. Raises Refused."""
    return parse_listen(text, "[agent] metrics-listen")


def document(
    interface: InterfaceSection, server: ServerSection, private_key: str, agent: AgentSection | None = None
) -> Config:
    """The config that an invitation becomes, with the peer's own key."""
    return Config(
        agent=agent or AgentSection(),
        interface=_Interface(
            network_name=interface.network_name,
            address=interface.address,
            private_key=private_key,
            listen_port=interface.listen_port,
            suffix=interface.suffix,
        ),
        server=_Server(
            public_key=server.public_key,
            external_endpoint=server.external_endpoint,
            internal_endpoint=server.internal_endpoint,
            tcp=server.tcp,
        ),
    )


def save(paths: Paths, config: Config) -> None:
    files.make_private(paths.config_dir)
    files.write_atomically(paths.config, toml.write(config))


def prepared(paths: Paths, config: Config) -> AbstractContextManager[Callable[[], None]]:
    """As `save`, in two steps: what is given puts the config in its place. Raises OSError."""
    files.make_private(paths.config_dir)
    return files.prepared(paths.config, toml.write(config))

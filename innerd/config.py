"""The coordinator's config file `/etc/innerd/<network>.toml`, and where everything of a network lies."""

from base64 import b64decode
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from innerd.command import networks
from innerd.command.settings import Settings
from innerd.domain.claims import USUAL_SUFFIX, parse_suffix
from innerd.domain.errors import Refused
from innerd.domain.network import Peer
from innerd.domain.values import (
    Address,
    parse_address,
    parse_interface,
    parse_listen,
    parse_public_key,
    parse_range,
)
from innerd.domain.visibility import View
from innerd.failure import USAGE, Failure, not_found
from innerd.host import files, toml
from innerd.relay.limits import limits_of
from innerd.wire import checkpoint
from innerd.wire.note import Signer
from innerd.wireguard.device import clamped

Port = Annotated[int, Meta(ge=1, le=65535)]
Prefix = Annotated[int, Meta(ge=0, le=128)]


class DnsSection(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    enabled: bool = True
    suffix: str = USUAL_SUFFIX
    ttl: Annotated[int, Meta(ge=0, le=86_400)] = 5  # seconds
    log_queries: bool = False


class MetricsSection(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`allow`: "admins", "infra", or ranges whose peers may read; `listen`: an address of the host itself."""

    allow: list[str] = field(default_factory=lambda: ["admins", "infra"])
    per_peer: bool = True
    listen: str | None = None


class NamesSection(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    write_hosts: bool = True
    hosts_path: str = "/etc/hosts"
    host_suffix: str | None = None  # None: <network>.<suffix>


class RelaySection(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much is relayed; whether at all is for the log (`innerd allow-relay`). `mode`: in the kernel where that can
    be, or in this process alone; rates such as "50 Mbit/s", or "none". `tcp`: an address of this host and a port,
    to which peers may come by TCP that are where UDP is blocked."""

    mode: Literal["auto", "userspace"] = "auto"
    per_peer: str = "50 Mbit/s"
    total: str = "200 Mbit/s"
    tcp: str | None = None


class Config(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    private_key: str
    listen_port: Port
    address: str
    network_cidr_prefix: Prefix
    admin_proof: Literal["required", "optional"] = "required"
    dns: DnsSection = field(default_factory=DnsSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    names: NamesSection = field(default_factory=NamesSection)
    relay: RelaySection = field(default_factory=RelaySection)

    def __repr__(self) -> str:
        return "Config()"  # it holds the private key


class Paths(Struct, frozen=True):
    """Where the files of one network are."""

    network: str
    config_dir: Path
    data_dir: Path
    runtime_dir: Path

    @property
    def config(self) -> Path:
        return self.config_dir / f"{self.network}.toml"

    @property
    def database(self) -> Path:
        return self.data_dir / f"{self.network}.db"

    @property
    def socket(self) -> Path:
        return self.runtime_dir / f"{self.network}.sock"


def paths_of(settings: Settings, network: str) -> Paths:
    """Where the files of a network are, as the flags say. Raises Refused for what can't name one."""
    return Paths(parse_interface(network), settings.config_dir, settings.data_dir, settings.runtime_dir)


def load(paths: Paths) -> Config:
    """The config of a network, checked. Raises Failure."""
    try:
        files.check_private(paths.config)
        config = toml.read(paths.config, Config)
    except FileNotFoundError:
        raise not_found(
            "network_not_found",
            f'there is no network "{paths.network}" here ({paths.config})',
            networks.meant(paths.config_dir, paths.runtime_dir, paths.network, "innerd new makes one"),
        ) from None
    try:
        parse_public_key(config.private_key)
        _check_address(config)
        if config.metrics.listen is not None:
            listen_address(config.metrics.listen)
        metrics_rule(config.metrics)
        parse_suffix(config.dns.suffix, "dns suffix")
        limits_of(config.relay)
        tcp_address(config.relay)
    except Refused as error:
        what = "private-key is not a WireGuard key" if error.code == "invalid_key" else error.message
        raise Failure(USAGE, "config_invalid", f"{paths.config}: {what}") from None
    return config


def _check_address(config: Config) -> None:
    address = parse_address(config.address)
    if config.network_cidr_prefix > address.max_prefixlen:
        raise Refused("invalid_range", f"network-cidr-prefix {config.network_cidr_prefix} is too long for {address}")


def listen_address(text: str) -> tuple[str, int]:
    """`[metrics] listen`. Raises Refused."""
    return parse_listen(text, "[metrics] listen")


def tcp_address(relay: RelaySection) -> tuple[str, int] | None:
    """`[relay] tcp`. Raises Refused."""
    return None if relay.tcp is None else parse_listen(relay.tcp, "[relay] tcp")


def tcp_port(relay: RelaySection) -> int | None:
    """Of `[relay] tcp`, which was checked: what peers are told."""
    at = tcp_address(relay)
    return None if at is None else at[1]


def save(paths: Paths, config: Config) -> None:
    """A new config file. Raises FileExistsError."""
    files.make_private(paths.config_dir)
    files.create(paths.config, toml.write(config))


class MetricsRule(Struct, frozen=True):
    """Who may read metrics over the tunnel."""

    admins: bool
    infra: bool
    ranges: tuple[IPv4Network | IPv6Network, ...]

    def allows(self, peer: Peer, view: View) -> bool:
        infra = view.network.cidrs[2].range
        return (
            (self.admins and peer.is_admin)
            or (self.infra and peer.ip in infra)
            or any(peer.ip in block for block in self.ranges)
        )


def metrics_rule(section: MetricsSection) -> MetricsRule:
    words = {"admins", "infra"}
    ranges = tuple(parse_range(text) for text in section.allow if text not in words)
    return MetricsRule("admins" in section.allow, "infra" in section.allow, ranges)


def signer_of(config: Config, network_id: str) -> Signer:
    """Who signs checkpoints of the network's log."""
    return checkpoint.signer(b64decode(clamped(config.private_key)), network_id)


def address_of(config: Config) -> Address:
    return parse_address(config.address)


def network_range(config: Config) -> IPv4Network | IPv6Network:
    return ip_network(f"{config.address}/{config.network_cidr_prefix}", strict=False)

"""`inn import-innernet`: the config, key and pins of an innernet client on this host become ours.

innernet's files are only read. The key stays the same, so the coordinator and all peers see the same peer; what
innernet has seen of others (address and key) is pinned from the first moment.
"""

from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from innclient import config
from innclient.paths import Paths
from innerd.admin.invitation import InterfaceSection, ServerSection, check
from innerd.command import output, prompt
from innerd.command.options import Command, json_flag, require_root
from innerd.command.settings import settings_of
from innerd.domain.errors import Refused, plainly
from innerd.domain.unreadable import UNREADABLE
from innerd.domain.values import PublicKey, parse_address, parse_endpoint, parse_interface, parse_public_key
from innerd.failure import REFUSED, SYSTEM, USAGE, Failure, not_found
from innerd.host import files, toml

_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Config(Struct, rename="kebab", kw_only=True):
    """innernet's client config: an invitation with the peer's own key, and overrides."""

    interface: InterfaceSection
    server: ServerSection
    peer_endpoint_overrides: dict[str, str] = {}


class _CachedPeer(Struct):
    ip: str
    public_key: str


class _Cache(Struct):
    """innernet's cache: every peer that it has ever seen, the disabled ones too."""

    peers: list[_CachedPeer] = []


def read(conf: Path, cache: Path) -> tuple[config.Config, dict[str, PublicKey]]:
    """What innernet's files say, checked. Raises Failure."""
    try:
        old = toml.read(conf, _Config)
    except FileNotFoundError:
        raise not_found("file_not_found", f"there is no file {conf}", "innernet's lie in /etc/innernet") from None
    try:
        check(old.interface, old.server)
        for ip, endpoint in old.peer_endpoint_overrides.items():
            parse_address(ip)
            parse_endpoint(endpoint)
    except (Refused, ValueError) as error:
        raise Failure(USAGE, "config_invalid", f"{conf}: {error}") from None
    made = config.document(old.interface, old.server, old.interface.private_key)
    made.peer_endpoint_overrides = old.peer_endpoint_overrides
    return made, _pins(cache)


def _pins(cache: Path) -> dict[str, PublicKey]:
    """The pins of a cache. A missing one is no error: nothing was seen yet. A torn one is: pins must not be lost
    in silence."""
    try:
        read = msgspec.json.decode(cache.read_bytes(), type=_Cache)
        return {str(parse_address(peer.ip)): parse_public_key(peer.public_key) for peer in read.peers}
    except FileNotFoundError:
        return {}
    except (*UNREADABLE, Refused, OSError) as error:
        raise Failure(
            SYSTEM,
            "state_unreadable",
            f"{cache} can't be read: {plainly(error, cache)}",
            "move it away to begin without pins: then compare the keys of your peers first",
        ) from None


def take_over(paths: Paths, made: config.Config, pins: dict[str, PublicKey]) -> None:
    """Write our files; the config last, as it is what makes a network installed. Raises Failure."""
    from innclient.agent.store import save_pins
    from innclient.core.pins import Pins

    if paths.config.exists():
        raise Failure(REFUSED, "already_installed", f'the network "{paths.interface}" is here already ({paths.config})')
    files.make_private(paths.data)
    save_pins(paths, Pins(pins))
    config.save(paths, made)


@click.command("import-innernet", cls=Command)
@click.argument("interface")
@click.option("--from-config", type=_FOLDER, default=Path("/etc/innernet"), help="innernet's config folder.")
@click.option("--from-data", type=_FOLDER, default=Path("/var/lib/innernet"), help="innernet's data folder.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_flag()
@click.pass_context
def import_innernet(context: Any, /, interface: str, from_config: Path, from_data: Path, yes: bool) -> None:
    """Go on with inn where innernet was used on this host: same key, same address. Stop innernet's service first."""
    settings = settings_of(context)
    require_root("inn import-innernet")
    paths = Paths(parse_interface(interface), settings.config_dir, settings.data_dir, settings.runtime_dir)
    made, pins = read(from_config / f"{interface}.conf", from_data / f"{interface}.json")
    prompt.confirm(f'Take "{interface}" over from innernet ({len(pins)} pins)?', yes=yes)
    take_over(paths, made, pins)
    if settings.as_json:
        output.document({"interface": interface, "address": made.interface.address, "pins": len(pins)})
        return
    output.line(f'"{interface}" ({made.interface.address}) is taken over, with {len(pins)} pins.')
    output.line(f"Next: systemctl disable --now innernet@{interface}; systemctl enable --now inn@{interface}")


VERBS = [import_innernet]

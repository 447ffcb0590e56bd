"""Taking over a network from innernet-server: its config file and its database become a log and a config of ours.

Same ids, addresses, keys and open invitations, so that its clients go on unchanged. What our rules can't hold is
refused with the row named; what is merely changed (host bits of a range) is noted.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from innerd.config import Config, Port, Prefix
from innerd.domain.claims import is_private
from innerd.domain.commands import ImportedCidr, ImportedPeer, ImportNetwork
from innerd.domain.errors import Refused
from innerd.domain.imports import import_network
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.values import (
    Endpoint,
    parse_address,
    parse_endpoint,
    parse_interface,
    parse_name,
    parse_public_key,
    parse_range,
)
from innerd.failure import REFUSED, USAGE, Failure
from innerd.host import toml
from innerd.log.database import DAMAGED
from innerd.wireguard import keys


class _Config(Struct, rename="kebab", kw_only=True):
    """innernet-server's config file."""

    private_key: str
    listen_port: Port
    address: str
    network_cidr_prefix: Prefix


class Taken(Struct, frozen=True, kw_only=True):
    """What an innernet-server's files say, in our terms. `notes` are for a person: what will be different."""

    config: Config
    command: ImportNetwork
    network: Network
    notes: tuple[str, ...]


def read(config_file: Path, database: Path) -> Taken:
    """Read and check everything; nothing is written. Raises Failure."""
    old = _config(config_file)
    notes: list[str] = []
    try:
        with closing(_open(database)) as rows:
            command = ImportNetwork(
                id=os.urandom(16).hex(),
                name=parse_interface(config_file.stem),
                cidrs=tuple(_cidr(row, notes) for row in _all(rows, "cidrs")),
                peers=tuple(_peer(row) for row in _all(rows, "peers")),
                associations=tuple((r["id"], r["cidr_id_1"], r["cidr_id_2"]) for r in _all(rows, "associations")),
            )
            stored = {row["id"]: row["cidr_id"] for row in _all(rows, "peers")}
        network = fold(EMPTY, import_network(EMPTY, command))
    except Refused as error:
        raise Failure(REFUSED, error.code, f"{database}: {error.message}", error.hint) from None
    except (*DAMAGED, IndexError) as error:
        raise Failure(USAGE, "not_innernet", f"{database} is no innernet-server database: {error}") from None
    notes += _moved(network, stored)
    if not is_private(network.root.range):
        notes.append(f"{network.root.range} is not private: who joins by inn install from now on needs --public-range")
    config = Config(
        private_key=old.private_key,
        listen_port=old.listen_port,
        address=old.address,
        network_cidr_prefix=network.root.range.prefixlen,
        admin_proof="optional",  # innernet's own client knows no proof
    )
    _same(config, network, config_file)
    return Taken(config=config, command=command, network=network, notes=tuple(notes))


def _config(file: Path) -> _Config:
    try:
        return toml.read(file, _Config)
    except FileNotFoundError:
        raise Failure(
            USAGE, "file_not_found", f"there is no file {file}", "innernet's lie in /etc/innernet-server"
        ) from None


def _open(database: Path) -> sqlite3.Connection:
    if not database.is_file():
        raise Failure(
            USAGE, "file_not_found", f"there is no file {database}", "innernet's lie in /var/lib/innernet-server"
        )
    connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def _all(rows: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    return rows.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()  # noqa: S608 - names of ours


def _named(what: str, number: int, make: Any, *given: Any) -> Any:
    """A value of a row; what is wrong with it is said with the row."""
    try:
        return make(*given)
    except Refused as error:
        raise Refused(error.code, f"{what} {number}: {error.message}", error.hint) from None


def _cidr(row: sqlite3.Row, notes: list[str]) -> ImportedCidr:
    text = f"{row['ip']}/{row['prefix']}"
    block = _named("cidr", row["id"], parse_range, text)
    if str(block.network_address) != row["ip"]:
        notes.append(f"CIDR {row['name']}: {text} has host bits set and becomes {block}")
    name = _named("cidr", row["id"], parse_name, row["name"], "CIDR name")
    return ImportedCidr(row["id"], name, block, row["parent"])


def _peer(row: sqlite3.Row) -> ImportedPeer:
    number, has = row["id"], row.keys()
    endpoint = row["endpoint"] if "endpoint" in has else None
    return ImportedPeer(
        id=number,
        name=_named("peer", number, parse_name, row["name"], "peer name"),
        ip=_named("peer", number, parse_address, row["ip"]),
        public_key=_named("peer", number, parse_public_key, row["public_key"]),
        is_admin=bool(row["is_admin"]),
        is_disabled=bool(row["is_disabled"]),
        is_redeemed=bool(row["is_redeemed"]),
        invite_expires=row["invite_expires"] if "invite_expires" in has else None,
        endpoint=_endpoint(endpoint),
    )


def _endpoint(text: str | None) -> Endpoint | None:
    """An override; text that can't be read counts as none, as it does to innernet."""
    try:
        return None if text is None else parse_endpoint(text)
    except Refused:
        return None


def _moved(network: Network, stored: dict[int, int]) -> list[str]:
    """Peers whose narrowest CIDR is another one than innernet has them in."""
    return [
        f"peer {peer.name} ({peer.ip}) belongs to {network.cidr_of(peer.ip).name} from now on, the narrowest CIDR there"
        for peer in network.peers.values()
        if network.cidr_of(peer.ip).id != stored[peer.id]
    ]


def _same(config: Config, network: Network, file: Path) -> None:
    """The config and the database must be one network's."""
    coordinator = network.coordinator
    if keys.public_key(config.private_key) != coordinator.public_key or config.address != str(coordinator.ip):
        raise Failure(
            USAGE, "not_innernet", f"{file} is not the config of this database: key or address of peer 1 differ"
        )


def as_json(network: Network) -> dict[str, Any]:
    """What came, in short."""
    return {
        "network": network.name,
        "peers": [{"id": p.id, "name": p.name, "ip": str(p.ip)} for p in network.peers.values()],
        "cidrs": [{"id": c.id, "name": c.name, "cidr": str(c.range)} for c in network.cidrs.values()],
        "associations": len(network.associations),
        "events": network.revision,
    }

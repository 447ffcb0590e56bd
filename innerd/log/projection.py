"""The read models as rows: which of them a change of the network changes.

Not a second evolve: rows are compared between the network before and after. Events only say where to look.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from msgspec import Struct

from innerd.domain import events as e
from innerd.domain.network import Association, Cidr, Network, Peer
from innerd.domain.records import full
from innerd.domain.visibility import View, structural, touched

Row = tuple[int | str | None, ...]

COLUMNS: dict[str, tuple[str, ...]] = {
    "cidrs": ("id", "name", "cidr", "parent", "changed_seq"),
    "peers": (
        "id",
        "name",
        "ip",
        "cidr_id",
        "public_key",
        "is_admin",
        "is_redeemed",
        "is_disabled",
        "is_retired",
        "invite_expires",
        "endpoint",
        "changed_seq",
    ),
    "associations": ("id", "cidr_id_1", "cidr_id_2", "changed_seq"),
    "records": ("id", "peer_id", "name", "type", "value", "changed_seq"),
}


class Rows(Struct, frozen=True):
    """Rows to write and ids to delete, by table. The last column of every row is the revision of the change."""

    upserts: dict[str, list[Row]] = {}
    deletes: dict[str, list[int]] = {}


def _cidr_row(cidr: Cidr) -> Row:
    return (cidr.id, cidr.name, str(cidr.range), cidr.parent)


def _association_row(association: Association) -> Row:
    return (association.id, association.cidr_id_1, association.cidr_id_2)


def _peer_row(peer: Peer, class_: int, *, retired: bool) -> Row:
    return (
        peer.id,
        peer.name,
        str(peer.ip),
        class_,
        peer.public_key,
        int(peer.is_admin),
        int(peer.is_redeemed),
        int(peer.is_disabled),
        int(retired),
        peer.invite_expires,
        peer.endpoint,
    )


def _peer_of(view: View, number: int) -> Row | None:
    live, retired = view.network.peers.get(number), view.network.retired.get(number)
    peer = live or retired
    return None if peer is None else _peer_row(peer, view.class_of(peer), retired=live is None)


def _records_of(network: Network, number: int) -> dict[int, Row]:
    """The records of a peer, by id, with the names that they have now."""
    peer = network.peers.get(number)
    if peer is None:
        return {}
    return {r.id: (r.id, number, full(r.owner, peer.name), r.rrtype, r.value) for r in peer.records}


def project(before: View, after: View, happened: Iterable[e.AnyEvent]) -> Rows:
    """The rows in which two views differ, where events say that they may."""
    happened = tuple(happened)
    old, new = before.network, after.network
    peers: Iterable[int] = touched(happened)
    if structural(happened):
        peers = {*old.peers, *old.retired, *new.peers, *new.retired}
    rows = _Collector(new.revision)
    for number in sorted(peers):
        rows.compare("peers", number, _peer_of(before, number), _peer_of(after, number))
    for number in sorted(peers):
        was, now = _records_of(old, number), _records_of(new, number)
        for record in sorted({*was, *now}):
            rows.compare("records", record, was.get(record), now.get(record))
    if old.cidrs is not new.cidrs:
        for number in sorted({*old.cidrs, *new.cidrs}):
            first, then = old.cidrs.get(number), new.cidrs.get(number)
            rows.compare("cidrs", number, _row(_cidr_row, first), _row(_cidr_row, then))
    if old.associations is not new.associations:
        for number in sorted({*old.associations, *new.associations}):
            one, other = old.associations.get(number), new.associations.get(number)
            rows.compare("associations", number, _row(_association_row, one), _row(_association_row, other))
    return Rows(rows.upserts, rows.deletes)


_T = TypeVar("_T")


def _row(make: Callable[[_T], Row], thing: _T | None) -> Row | None:
    return None if thing is None else make(thing)


class _Collector:
    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.upserts: dict[str, list[Row]] = {}
        self.deletes: dict[str, list[int]] = {}

    def compare(self, table: str, number: int, was: Row | None, now: Row | None) -> None:
        if now is None:
            if was is not None:
                self.deletes.setdefault(table, []).append(number)
        elif now != was:
            self.upserts.setdefault(table, []).append((*now, self.revision))


Tables = dict[str, dict[int, Row]]  # by table and id


def no_tables() -> Tables:
    return {table: {} for table in COLUMNS}


def as_rows(tables: Tables) -> Rows:
    """All rows of tables, to write."""
    return Rows({table: list(held.values()) for table, held in tables.items()})


def put(tables: Tables, rows: Rows) -> None:
    """Write rows into tables."""
    for table, numbers in rows.deletes.items():
        for number in numbers:
            tables[table].pop(number, None)
    for table, upserts in rows.upserts.items():
        for row in upserts:
            tables[table][int(row[0] or 0)] = row


def difference(one: Tables, other: Tables) -> int:
    """In how many rows two sets of tables differ."""
    return sum(
        one[table].get(number) != other[table].get(number)
        for table in COLUMNS
        for number in {*one[table], *other[table]}
    )


def everything(view: View) -> Iterator[tuple[str, Row]]:
    """All rows of a network, without their `changed_seq`."""
    network = view.network
    for cidr in network.cidrs.values():
        yield "cidrs", _cidr_row(cidr)
    for association in network.associations.values():
        yield "associations", _association_row(association)
    for number in (*network.peers, *network.retired):
        row = _peer_of(view, number)
        if row is not None:
            yield "peers", row
        for record in _records_of(network, number).values():
            yield "records", record


def merge(several: Iterable[Rows]) -> Rows:
    """The rows of several commands in order as one: the last word on each row counts."""
    last: dict[tuple[str, int], Row | None] = {}
    for rows in several:
        for table, numbers in rows.deletes.items():
            last.update({(table, number): None for number in numbers})
        for table, upserts in rows.upserts.items():
            last.update({(table, int(row[0] or 0)): row for row in upserts})
    upserts_: dict[str, list[Row]] = {}
    deletes: dict[str, list[int]] = {}
    for (table, number), row in last.items():
        if row is None:
            deletes.setdefault(table, []).append(number)
        else:
            upserts_.setdefault(table, []).append(row)
    return Rows(upserts_, deletes)

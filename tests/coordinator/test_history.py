"""Looking back: the network at any revision, the revision at any time, and since when two peers see each other."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.coordinator.history import network_at, parse_time, revision_at
from innerd.coordinator.milestones import Milestones
from innerd.domain.errors import Refused
from innerd.domain.maps import Map
from innerd.domain.network import EMPTY, Network, evolve
from innerd.log import codec
from innerd.log.memory import MemoryStore
from innerd.log.store import Stored
from tests.coordinator.bench import Bench, bench, cidr
from tests.coordinator.test_replay import live
from tests.log.histories import STEPS, Step


def networks(store: MemoryStore) -> list[Network]:
    """The network at every revision, by one event after the other; the first is at revision 0."""
    found = [EMPTY]
    for stored in store.records:
        found.append(evolve(found[-1], codec.decode(stored.record)))
    return found


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_the_network_at_every_revision_is_the_fold_up_to_it(steps: list[Step]) -> None:
    store = asyncio.run(live(steps)).store
    assert isinstance(store, MemoryStore)

    async def check() -> None:
        for revision, expected in enumerate(networks(store)[1:], 1):
            assert await network_at(store, revision, Milestones()) == expected

    asyncio.run(check())


async def test_the_fold_stops_at_the_revision_on_any_page() -> None:
    b = await bench()

    class SmallPages(MemoryStore):
        def read(self, after: int = 0, limit: int = 3):  # type: ignore[no-untyped-def]
            return super().read(after, min(limit, 3))

    for number in range(1, 9):
        await b.do(cidr(number))
    store = SmallPages()
    store.records = b.store.records
    for revision in range(1, b.revision + 1):
        assert (await network_at(store, revision, Milestones())).revision == revision


# -- revisions of times ---------------------------------------------------------------------------------------------


async def hours() -> Bench:
    """Founded at 14:13:20 (events 1 to 4), two changes at 15:13:20 (5, 6), one at 16:13:20.5 (7)."""
    b = await bench()
    b.now += 3600
    await b.do(cidr(1))
    await b.do(cidr(2))
    b.now += 3600.5
    await b.do(cidr(3))
    b.now += 3600
    return b


@pytest.mark.parametrize(
    ("at", "revision"),
    [
        ("1", 1),
        ("4", 4),
        ("7", 7),
        ("007", 7),
        ("2026-09-21T14:13:20Z", 4),
        ("2026-09-21T14:13:20.000001Z", 4),
        ("2026-09-21T15:13:19.999999Z", 4),
        ("2026-09-21T15:13:20Z", 6),
        ("2026-09-21T16:13:20Z", 6),
        ("2026-09-21T16:13:20.5Z", 7),
        ("2026-09-21T17:00:00Z", 7),
        ("2026-09-21T17:13:20.5Z", 7),
        ("2026-09-21T17:13:20+02:00", 6),
        ("2026-09-21 15:13:20+00:00", 6),
        ("2026-09-21T09:43:20-05:30", 6),
    ],
)
async def test_a_moment_means_the_newest_revision_at_it(at: str, revision: int) -> None:
    b = await hours()
    assert await revision_at(b.store, b.revision, b.now, at) == revision


MALFORMED = {
    "before all": "2026-09-21T14:13:19.999999Z",
    "long before": "1970-01-01T00:00:00Z",
    "the year one": "0001-01-01T00:00:00Z",
    "before the year one": "0001-01-01T00:00:00+01:00",
    "in the future": "2026-09-21T17:13:21Z",
    "far in the future": "9999-12-31T23:59:59Z",
    "the last microsecond": "9999-12-31T23:59:59.999999Z",
    "behind the last year": "9999-12-31T23:59:59-23:00",
    "no offset": "2026-09-21T15:13:20",
    "a date": "2026-09-21",
    "a word": "yesterday",
    "nothing": "",
    "revision nought": "0",
    "a revision to come": "8",
    "a negative revision": "-1",
    "a fraction": "1.5",
    "a number without end": "9" * 5000,
    "digits of another script": "٣",
    "a blank": " 5",
    "month 13": "2026-13-01T00:00:00Z",
    "a nul": "5\0",
}


@pytest.mark.parametrize("at", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_moment_of_the_network_is_refused(at: str) -> None:
    b = await hours()
    with pytest.raises(Refused) as refused:
        await revision_at(b.store, b.revision, b.now, at)
    assert refused.value.code == "invalid_request"
    assert len(refused.value.message) < 200


async def test_a_revision_behind_the_head_that_was_looked_at_is_not_there_yet() -> None:
    b = await hours()
    with pytest.raises(Refused, match="1 to 6"):
        await revision_at(b.store, 6, b.now, "7")
    assert await revision_at(b.store, 6, b.now, "2026-09-21T17:00:00Z") == 6


@settings(deadline=None, max_examples=150)
@given(st.datetimes(timezones=st.timezones()))
def test_a_time_is_read_to_the_microsecond_or_refused(moment: datetime) -> None:
    try:
        read = parse_time(moment.isoformat(), "at")
    except Refused:
        return
    if 1970 <= moment.year <= 2200:
        assert read == moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- what is kept of the past ---------------------------------------------------------------------------------------


async def kept_while_replaying(store: MemoryStore, apart: int, room: int) -> Milestones:
    milestones = Milestones(apart, room)
    for network, stored in zip(networks(store)[1:], store.records, strict=True):
        milestones.note(network, stored.chain)
    return milestones


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(1, 20), st.integers(0, 60))
def test_from_whatever_is_kept_every_revision_is_the_fold_from_the_beginning(
    steps: list[Step], apart: int, room: int
) -> None:
    store = asyncio.run(live(steps)).store
    assert isinstance(store, MemoryStore)

    async def check() -> None:
        milestones = await kept_while_replaying(store, apart, room)
        for revision, expected in enumerate(networks(store)[1:], 1):
            kept = milestones.before(revision)
            assert kept is None or kept.network == networks(store)[kept.network.revision]
            assert await network_at(store, revision, milestones) == expected

    asyncio.run(check())


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 400), st.integers(1, 30), st.integers(0, 300))
def test_what_is_kept_takes_no_more_room_than_it_may(length: int, apart: int, room: int) -> None:
    """Of a log that changes ten peers again and again: so many networks, ten peers each at most."""
    milestones = Milestones(apart, room)
    network = EMPTY
    peers = Map(dict.fromkeys(range(10)))
    found = set()
    for revision in range(1, length + 1):
        network = Network(revision=revision, peers=peers)  # type: ignore[arg-type]
        milestones.note(network, b"")
        found = {kept.network.revision for r in range(revision + 1) if (kept := milestones.before(r))}
        between = [b - a for a, b in itertools.pairwise([0, *sorted(found)])]
        assert sum(min(10, gap) for gap in between) <= room
        assert all(gap >= apart for gap in between)
    if length // apart * 10 <= room:
        assert len(found) == length // apart


class Fewest(MemoryStore):
    """Counts the records that are read one after the other."""

    given = 0

    async def read(self, after: int = 0, limit: int = 10_000) -> AsyncIterator[list[Stored]]:
        async for page in super().read(after, 10):
            self.given += len(page)
            yield page


async def long_log(apart: int) -> tuple[Fewest, Milestones]:
    b = await bench()
    for number in range(1, 60):
        await b.do(cidr(number))
    store = Fewest()
    store.records = b.store.records
    return store, await kept_while_replaying(store, apart, 1000)


async def test_a_look_back_reads_from_what_is_kept_on() -> None:
    store, milestones = await long_log(apart=20)
    assert (await network_at(store, 45, milestones)).revision == 45
    assert store.given == 10, "not the forty before them"
    assert (await network_at(store, 40, milestones)).revision == 40
    assert store.given == 10, "the very one that is kept"


async def test_what_the_chain_does_not_prove_is_dropped() -> None:
    """The log is another one from its thirtieth event on: what was kept behind that counts no more."""
    store, milestones = await long_log(apart=20)
    fork, _ = await long_log(apart=20)  # its salts are others'
    store.records = store.records[:29] + fork.records[29:]
    assert (await network_at(store, 45, milestones)) == networks(store)[45]
    assert milestones.before(63) is not None
    assert milestones.before(63).network.revision == 20  # type: ignore[union-attr]
    assert store.given == 30, "those behind the twentieth"


async def test_what_is_committed_is_kept_too_and_a_start_makes_it_anew() -> None:
    b = await bench()
    b.writer.feed.milestones = Milestones(apart=5)
    for number in range(1, 10):
        await b.do(cidr(number))
    kept = b.writer.feed.milestones.before(b.revision)
    assert kept is not None
    assert (kept.network, kept.chain) == (networks(b.store)[10], b.store.records[9].chain)

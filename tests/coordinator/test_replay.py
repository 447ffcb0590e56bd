"""The log is the network: replay makes what was live, and nothing else passes for it."""

import asyncio
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import events as e
from innerd.domain.errors import Refused
from innerd.domain.network import EMPTY, Network, evolve, fold
from innerd.domain.visibility import structural
from innerd.log import chain, codec
from innerd.log.codec import UnknownEvent
from innerd.log.memory import MemoryStore
from innerd.log.store import StoreCorrupt, Stored
from tests.coordinator.bench import LOCAL, bench, cidr
from tests.log.histories import BEGINNING, FOUNDING, STEPS, Step, command_of, history, time_of


async def live(steps: list[Step], together: int = 1) -> Writer:
    """A network to which the steps happened, some at the same moment."""
    clock = [BEGINNING]
    store = MemoryStore()
    writer = Writer(store, await load(store), lambda: clock[0], pytest.fail)
    await writer.submit(FOUNDING, LOCAL)
    for at in range(0, len(steps), together):
        clock[0] = time_of(steps[at], at)
        commands = [command_of(step, at + n, writer.network) for n, step in enumerate(steps[at : at + together], 1)]
        outcomes = await asyncio.gather(*(writer.submit(x, LOCAL) for x in commands), return_exceptions=True)
        assert all(not isinstance(outcome, Exception) or isinstance(outcome, Refused) for outcome in outcomes)
    return writer


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(1, 5))
def test_replay_makes_what_was_live(steps: list[Step], together: int) -> None:
    writer = asyncio.run(live(steps, together))
    replayed = asyncio.run(load(writer.store))
    assert replayed.network == writer.network
    assert replayed.chain.hex() == writer.head_hash
    assert replayed.network.revision == len(writer.store.records)


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_time_never_runs_backwards_in_the_log(steps: list[Step]) -> None:
    """`time_of` jumps by days there and back: the clock of a machine that nobody looks after."""
    writer = asyncio.run(live(steps))
    times = [codec.envelope(stored.record).at for stored in writer.store.records]
    assert times == sorted(times)


async def test_after_a_restart_time_goes_on_from_the_last_event() -> None:
    b = await bench()
    b.now += 1000
    await b.do(cidr(1))
    b.now -= 5000
    await b.start()
    await b.do(cidr(2))
    times = [codec.envelope(stored.record).at for stored in b.store.records[-2:]]
    assert times[0] == times[1]


async def test_records_say_who_did_it_and_where_they_stand() -> None:
    b = await bench()
    who = codec.Who("peer:7", "10.42.0.7", "4f1c")
    await b.do(cidr(1), who)
    read = codec.envelope(b.store.records[-1].record)
    assert (read.seq, read.type, read.subject) == (5, "cidr.created", "cidr:3")
    assert (read.actor, read.origin, read.request) == ("peer:7", "10.42.0.7", "4f1c")


async def test_every_salt_is_another_one() -> None:
    b = await bench()
    for number in range(1, 20):
        await b.do(cidr(number))
    salts = {stored.salt for stored in b.store.records}
    assert len(salts) == len(b.store.records)
    assert {len(salt) for salt in salts} == {16}


async def test_a_log_of_many_pages_replays() -> None:
    b = await bench()
    for number in range(1, 30):
        await b.do(cidr(number))

    class SmallPages(MemoryStore):
        def read(self, after: int = 0, limit: int = 3):  # type: ignore[no-untyped-def]
            return super().read(after, min(limit, 3))

    store = SmallPages()
    store.records = b.store.records
    assert (await load(store)).network == b.writer.network


def flip(data: bytes, at: int, mask: int = 1) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def _changed(records: list[Stored], seq: int, **changes: Callable[[bytes], bytes]) -> list[Stored]:
    stored = records[seq - 1]
    new = replace(stored, **{name: change(getattr(stored, name)) for name, change in changes.items()})
    return [*records[: seq - 1], new, *records[seq:]]


def _swapped(records: list[Stored], a: int, b: int) -> list[Stored]:
    made = list(records)
    made[a - 1], made[b - 1] = replace(records[b - 1], seq=a), replace(records[a - 1], seq=b)
    return made


def _renumbered(records: list[Stored]) -> list[Stored]:
    return [replace(stored, seq=seq) for seq, stored in enumerate(records, 1)]


TAMPERED: dict[str, tuple[Callable[[list[Stored]], list[Stored]], int]] = {
    "a value": (lambda r: _changed(r, 6, record=lambda x: x.replace(b'"c2"', b'"cx"')), 6),
    "a blank": (lambda r: _changed(r, 6, record=lambda x: x + b" "), 6),
    "a salt": (lambda r: _changed(r, 6, salt=lambda x: flip(x, 3)), 6),
    "a chain hash": (lambda r: _changed(r, 6, chain=lambda x: flip(x, 31)), 6),
    "the last chain hash": (lambda r: _changed(r, 8, chain=lambda x: flip(x, 0)), 8),
    "the first record": (lambda r: _changed(r, 1, record=lambda x: x.replace(b"kermpany", b"kermpanx")), 1),
    "the network's id": (lambda r: _changed(r, 1, record=lambda x: x.replace(FOUNDING.id[:4].encode(), b"0000")), 1),
    "one removed": (lambda r: r[:5] + r[6:], 7),
    "one removed and the rest moved up": (lambda r: _renumbered(r[:5] + r[6:]), 6),
    "two swapped": (lambda r: _swapped(r, 5, 7), 5),
    "one twice": (lambda r: _renumbered(r[:6] + r[5:]), 7),
}


@pytest.mark.parametrize(("tamper", "seq"), TAMPERED.values(), ids=TAMPERED)
async def test_a_log_that_is_not_what_was_written_is_refused_by_the_events_number(tamper, seq) -> None:
    b = await bench()
    for number in (1, 2, 3, 4):
        await b.do(cidr(number))
    b.store.records = tamper(b.store.records)
    with pytest.raises(StoreCorrupt, match=rf"event {seq}\b"):
        await load(b.store)


async def test_a_log_without_its_beginning_is_refused() -> None:
    b = await bench()
    b.store.records = _renumbered(b.store.records[1:])
    with pytest.raises(StoreCorrupt, match=r"network\.created"):
        await load(b.store)


async def test_another_networks_beginning_is_refused() -> None:
    b, other = await bench(), MemoryStore()
    writer = Writer(other, await load(other), lambda: BEGINNING, pytest.fail)
    await writer.submit(replace(FOUNDING, id="f" * 32), LOCAL)
    b.store.records[0] = other.records[0]
    with pytest.raises(StoreCorrupt, match="event 2"):
        await load(b.store)


async def test_a_chain_that_begins_elsewhere_is_refused() -> None:
    """Every link holds, but not to this network's id."""
    b = await bench()
    link, records = chain.genesis("f" * 32), []
    for stored in b.store.records:
        link = chain.link(link, stored.salt, stored.record)
        records.append(replace(stored, chain=link))
    b.store.records = records
    with pytest.raises(StoreCorrupt, match="event 1"):
        await load(b.store)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_byte_of_any_record_counts(data: st.DataObject) -> None:
    """Whatever a flipped bit makes of the JSON: it is damage, and not a newer release or a bug."""
    records = asyncio.run(bench()).store.records
    seq = data.draw(st.integers(1, len(records)))
    at = data.draw(st.integers(0, len(records[seq - 1].record) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    store = MemoryStore()
    store.records = _changed(records, seq, record=lambda x: flip(x, at, bit))
    with pytest.raises(StoreCorrupt) as refused:
        asyncio.run(load(store))
    assert re.search(rf"event {seq}\b", str(refused.value)) or (seq == 1 and "begin" in str(refused.value))


async def test_an_honest_event_of_a_newer_release_is_named() -> None:
    b = await bench()
    record = b.store.records[-1].record.replace(b'"peer.added"', b'"peer.baked"').replace(b'"seq":4', b'"seq":5')
    link = chain.link(b.store.records[-1].chain, b"s" * 16, record)
    b.store.records.append(Stored(5, record, b"s" * 16, link))
    with pytest.raises(UnknownEvent, match=r"event 5 is a peer\.baked of version 1"):
        await load(b.store)


# -- what is remembered one by one ------------------------------------------------------------------------------------


async def logged(events: list[e.AnyEvent]) -> MemoryStore:
    """A log of just these events."""
    store, link = MemoryStore(), b""
    for seq, event in enumerate(events, 1):
        record, salt = codec.encode(event, seq, BEGINNING + seq, LOCAL), seq.to_bytes(16, "big")
        link = chain.link(link or chain.genesis(FOUNDING.id), salt, record)
        store.records.append(Stored(seq, record, salt, link))
    return store


def founding() -> list[e.AnyEvent]:
    (turn,) = history([])
    return list(turn.events)


def quiet(number: int) -> e.AnyEvent:
    """Nothing that changes the tree."""
    return e.CidrRenamed(id=1, name=f"n{number}", was="n")


def carving(number: int) -> e.AnyEvent:
    """A CIDR by itself."""
    return e.CidrCreated(id=number, name=f"c{number}", range=f"10.42.{number}.0/24", parent=1)


def log_of(length: int, trees: list[int]) -> list[e.AnyEvent]:
    """So many events; those of the numbers in `trees` change the tree."""
    founded = founding()
    order = {seq: number for number, seq in enumerate(sorted(trees), 3)}
    later = [carving(order[seq]) if seq in order else quiet(seq) for seq in range(len(founded) + 1, length + 1)]
    return founded + later


LOGS = {
    "only founded": (4, []),
    "short": (900, []),
    "one page": (1000, []),
    "one more": (1001, []),
    "a full page and a little": (2003, []),
    "three pages": (3000, []),
    "a little more than three": (3001, [2995]),
    "trees long ago": (2500, list(range(10, 40))),
    "nine trees at the end": (2500, list(range(2480, 2489))),
    "eight trees at the end": (2500, list(range(2480, 2488))),
    "thirty trees at the end": (1030, list(range(1001, 1031))),
    "trees around the pages' ends": (3001, [999, 1000, 1001, 1999, 2000, 2001, 2002, 2999, 3000, 3001]),
}


@pytest.mark.parametrize(("length", "trees"), LOGS.values(), ids=LOGS)
async def test_the_last_events_are_kept_one_by_one_and_no_more(length: int, trees: list[int]) -> None:
    events = log_of(length, trees)
    store = await logged(events)
    loaded = await load(store)
    recent = list(loaded.recent)
    assert len(events) == length
    assert recent == events[length - len(recent) :], "the last ones"
    assert loaded.base == fold(EMPTY, events[: length - len(recent)])
    assert loaded.network == fold(EMPTY, events)
    assert len(recent) <= 1000
    assert sum(structural((event,)) for event in recent) <= 8
    if len(recent) < min(length, 1000):  # then one more would be one tree too many
        assert sum(structural((event,)) for event in events[length - len(recent) - 1 :]) == 9
    assert (loaded.chain, loaded.at) == (store.records[-1].chain, pytest.approx(BEGINNING + length))


async def test_an_empty_log_has_nothing_to_remember() -> None:
    loaded = await load(MemoryStore())
    assert (loaded.base, loaded.recent, loaded.network, loaded.chain) == (EMPTY, (), EMPTY, b"")


@settings(deadline=None, max_examples=40)
@given(STEPS, st.integers(1, 20))
def test_however_a_store_cuts_its_pages_the_network_is_the_same(steps: list[Step], size: int) -> None:
    writer = asyncio.run(live(steps))

    class Pages(MemoryStore):
        def read(self, after: int = 0, limit: int = 0):  # type: ignore[no-untyped-def]
            return super().read(after, size)

    store = Pages()
    store.records = writer.store.records  # type: ignore[attr-defined]
    loaded = asyncio.run(load(store))
    networks: dict[int, Network] = {loaded.base.revision: loaded.base}
    for event in loaded.recent:
        networks[max(networks) + 1] = evolve(networks[max(networks)], event)
    assert networks[writer.network.revision] == loaded.network == writer.network
    assert sum(structural((event,)) for event in loaded.recent) <= 8


@pytest.mark.parametrize("seq", [1000, 1001, 1500, 2000, 2001])
async def test_damage_is_found_on_every_page(seq: int) -> None:
    store = await logged(log_of(2002, []))
    store.records = _changed(store.records, seq, record=lambda x: x + b" ")
    with pytest.raises(StoreCorrupt, match=rf"event {seq}\b"):
        await load(store)


@pytest.mark.parametrize("seq", [1000, 1001, 2001])
async def test_what_cannot_have_happened_is_named_by_its_number_on_every_page(seq: int) -> None:
    events = log_of(2002, [])
    events[seq - 1] = e.CidrRenamed(id=77, name="x", was="y")
    with pytest.raises(StoreCorrupt, match=rf"event {seq} \(cidr\.renamed\) can't have happened"):
        await load(await logged(events))

"""The journal: numbered for ever, bounded, private, and never a reason to stop. And the words in it."""

import asyncio
import errno
import os
from pathlib import Path

import msgspec
import pytest

from innclient.agent import journal as journal_module
from innclient.agent.journal import Journal, read
from innclient.core.changes import Entry, differences
from innclient.core.membership import Identity, Membership
from innclient.core.netmap import Netmap, take_delta
from innclient.core.pins import Pins
from innerd.domain.values import parse_address
from innerd.wire.innernet import CidrJson, PeerJson
from innerd.wire.stream import DeltaJson
from tests.client.told import COORDINATOR, HUMANS, MARI, ME, hello, netmap, peer_json, snapshot
from tests.world import key, private_key


def entry(text: str) -> Entry:
    return Entry(at=1_790_000_000.0, revision=7, type="peer.seen", subject="peer:4", text=text)


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.seq for entry in entries]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kermpany" / "journal.jsonl"


def test_entries_are_numbered_from_1_and_kept_in_memory_and_file(path: Path) -> None:
    journal = Journal(path)
    journal.add([entry("one"), entry("two")])
    journal.add([])
    journal.add([entry("three")])
    assert [(e.seq, e.text) for e in journal.after(0)] == [(1, "one"), (2, "two"), (3, "three")]
    assert numbers(journal.after(2)) == [3]
    assert journal.after(3) == []
    assert read(path) == journal.after(0)


def test_numbers_go_on_after_a_restart(path: Path) -> None:
    Journal(path).add([entry("one"), entry("two")])
    again = Journal(path)
    assert numbers(again.after(0)) == [1, 2]
    again.add([entry("three")])
    assert [(e.seq, e.text) for e in read(path)] == [(1, "one"), (2, "two"), (3, "three")]


def test_without_a_file_there_is_nothing_and_none_is_made(path: Path) -> None:
    assert (Journal(path).after(0), read(path), path.parent.exists()) == ([], [], False)


@pytest.mark.parametrize("torn", [b'{"seq":3,"at":1.0,"rev', b"{", b"null\n", b'{"seq":"3"}\n', b"\x00\x00\n"])
def test_a_line_that_can_not_be_read_is_left_out(path: Path, torn: bytes) -> None:
    Journal(path).add([entry("one"), entry("two")])
    path.write_bytes(path.read_bytes() + torn)
    assert numbers(Journal(path).after(0)) == [1, 2]


def test_a_line_in_the_middle_that_can_not_be_read_hides_no_other(path: Path) -> None:
    Journal(path).add([entry("one"), entry("two"), entry("three")])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:20] + b"\n" + lines[2])
    assert numbers(Journal(path).after(0)) == [1, 3]


def test_the_file_is_bounded_with_one_older_beside_it_and_numbers_go_on_through_both(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_LARGEST", 1000)
    journal = Journal(path)
    for number in range(60):
        journal.add([entry(f"entry {number}")])
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["journal.jsonl", "journal.old.jsonl"]
    assert all(file.stat().st_size < 1200 for file in files)
    kept = read(path)
    assert kept == journal.after(0)[-len(kept) :]
    assert (len(kept) >= 8, kept[-1].seq) == (True, 60)
    again = Journal(path)
    again.add([entry("later")])
    assert again.after(60) == [msgspec.structs.replace(entry("later"), seq=61)]


def test_just_after_it_was_turned_over_numbers_go_on_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_LARGEST", 10)
    Journal(path).add([entry("one"), entry("two")])
    assert not path.exists()
    again = Journal(path)
    again.add([entry("three")])
    assert numbers(again.after(0)) == [1, 2, 3]


def test_memory_holds_the_last_ones_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_KEPT", 5)
    journal = Journal(path)
    journal.add([entry(str(number)) for number in range(1, 9)])
    assert numbers(journal.after(0)) == [4, 5, 6, 7, 8]
    assert numbers(Journal(path).after(0)) == [4, 5, 6, 7, 8]


def test_the_file_is_private_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        Journal(path).add([entry("one")])
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("call", "code"), [("write", errno.ENOSPC), ("open", errno.EROFS)])
def test_a_disk_that_refuses_leaves_the_entries_in_memory_and_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    journal = Journal(path)
    journal.add([entry("one")])

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, refuse)
        journal.add([entry("two")])
    assert (numbers(journal.after(0)), journal.broken) == ([1, 2], f"{journal._path}: {os.strerror(code)}")
    assert numbers(read(path)) == [1]
    journal.add([entry("three")])
    assert (numbers(journal.after(0)), journal.broken) == ([1, 2, 3], None)
    assert numbers(read(path)) == [1, 2, 3]


async def test_who_waits_for_more_is_told_of_it(path: Path) -> None:
    journal = Journal(path)
    journal.add([entry("one")])
    async with asyncio.timeout(5):
        await journal.more(0)  # there is one already
        waiting = [asyncio.create_task(journal.more(seq)) for seq in (1, 1, 2)]
        await asyncio.sleep(0)
        journal.add([entry("two")])
        await asyncio.wait(waiting[:2])
        await asyncio.sleep(0)
        assert not waiting[2].done()
        journal.add([entry("three")])
        await waiting[2]


# -- words ----------------------------------------------------------------------------------------------------------

OVENS = CidrJson(id=4, name="ovens", cidr="10.42.64.0/24", parent=1)


def mari(**changes: object) -> PeerJson:
    return peer_json(4, str(changes.pop("name", "mari")), "10.42.128.2", **{"public_key": key("mari")} | changes)


DIFFERENCES = {
    "a peer that is new": (
        {"peers": [peer_json(5, "oven", "10.42.64.1", cidr_id=4)], "cidrs": [OVENS]},
        {
            ("peer.seen", "peer:5", "oven (10.42.64.1, ovens) is in sight"),
            ("cidr.seen", "cidr:4", "CIDR ovens (10.42.64.0/24)"),
        },
    ),
    "an administrator that is new": (
        {"peers": [peer_json(5, "oven", "10.42.64.1", is_admin=True)]},
        {("peer.seen", "peer:5", "oven (10.42.64.1, humans, an administrator) is in sight")},
    ),
    "a peer that went": ({"gone": [4]}, {("peer.gone", "peer:4", "mari (10.42.128.2) is out of sight")}),
    "a name": (
        {"peers": [mari(name="mari-laptop")]},
        {("peer.renamed", "peer:4", "mari (10.42.128.2) is called mari-laptop now")},
    ),
    "a place": (
        {"peers": [mari(cidr_id=1)]},
        {("peer.moved", "peer:4", "mari belongs to kermpany, not humans")},
    ),
    "a key": (
        {"peers": [mari(public_key=key("eve"))]},
        {("peer.key", "peer:4", f"mari (10.42.128.2) is said to have another key: {key('eve')}")},
    ),
    "an administrator": ({"peers": [mari(is_admin=True)]}, {("peer.admin", "peer:4", "mari is an administrator now")}),
    "an endpoint": (
        {"peers": [mari(endpoint="192.0.2.9:9")]},
        {("peer.endpoint", "peer:4", "mari is reached at 192.0.2.9:9")},
    ),
    "several": (
        {"peers": [mari(name="m", is_admin=True, endpoint="192.0.2.9:9")]},
        {
            ("peer.renamed", "peer:4", "mari (10.42.128.2) is called m now"),
            ("peer.admin", "peer:4", "m is an administrator now"),
            ("peer.endpoint", "peer:4", "m is reached at 192.0.2.9:9"),
        },
    ),
    "a peer that can't be read any more": (
        {"peers": [mari(name="no name")]},
        {("peer.gone", "peer:4", "mari (10.42.128.2) is out of sight")},
    ),
    "nothing": ({"peers": [mari()]}, set()),
    "what was never seen goes": ({"gone": [77], "cidrs_gone": [77]}, set()),
    "a CIDR's name": (
        {"cidrs": [msgspec.structs.replace(HUMANS, name="people")]},
        {("cidr.renamed", "cidr:3", "CIDR humans is called people now")},
    ),
    "a CIDR that went": ({"cidrs_gone": [3]}, {("cidr.gone", "cidr:3", "CIDR humans (10.42.128.0/17) is no more")}),
}
BACK = {
    "no administrator": ({"is_admin": True}, ("peer.admin", "peer:4", "mari is no administrator now")),
    "no endpoint": (
        {"endpoint": "192.0.2.9:9"},
        ("peer.endpoint", "peer:4", "mari has no overridden endpoint any more"),
    ),
}


def words_of(before: Netmap, **changes: object) -> set[tuple[str, str, str]]:
    after = take_delta(before, DeltaJson(**{"revision": 11, "head_hash": "h"} | changes))
    said = differences(before, after, {*before.peers, *after.peers}, 99.5)
    assert all((e.seq, e.at, e.revision) == (0, 99.5, 11) for e in said)
    assert len(said) == len({(e.type, e.subject) for e in said})
    return {(e.type, e.subject, e.text) for e in said}


@pytest.mark.parametrize(("changes", "said"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_every_difference_has_its_words(changes: dict[str, object], said: set[tuple[str, str, str]]) -> None:
    assert words_of(netmap(MARI), **changes) == said


@pytest.mark.parametrize(("was", "said"), BACK.values(), ids=BACK)
def test_what_was_given_and_is_taken_back_has_its_words(was: dict[str, object], said: tuple[str, str, str]) -> None:
    assert words_of(netmap(mari(**was)), peers=[mari()]) == {said}


def test_the_first_snapshot_and_a_goodbye_are_told_in_words_too() -> None:
    me = Identity(
        private_key=private_key("ryo"),
        public_key=key("ryo"),
        ip=parse_address("10.42.128.1"),
        server_key=key("coordinator"),
        server_ip=parse_address("10.42.0.1"),
    )
    core = Membership(me, Netmap(), Pins(), {})
    taken = core.take([hello(), snapshot(COORDINATOR, ME, MARI)], 5.0)
    assert [(e.type, e.subject) for e in taken.entries] == [
        ("peer.seen", "peer:1"),
        ("peer.seen", "peer:3"),
        ("peer.seen", "peer:4"),
        ("cidr.seen", "cidr:1"),
        ("cidr.seen", "cidr:3"),
    ]
    assert core.take([snapshot(COORDINATOR, ME, MARI, revision=11)], 5.0).entries == []

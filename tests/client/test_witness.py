"""What a client makes of signed checkpoints: it keeps those that agree, and calls what does not by its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innclient.agent import store
from innclient.core.membership import Membership
from innclient.core.netmap import LogForked
from innclient.core.witness import DAYS, FORKS, NEWEST, Seen, Witnessed, compared, remembered, take_note
from innerd.domain.errors import Refused
from innerd.failure import TRUST, Failure
from innerd.wire.checkpoint import Checkpoint, sign
from innerd.wire.note import NotSigned, Signer
from innerd.wire.stream import CheckpointJson, DeltaJson, Hello
from tests.client.support import paths_in
from tests.client.test_core import NOW, in_step, new_core
from tests.client.told import COORDINATOR, ID, MARI, ME, heard, hello, snapshot

BY = Signer(f"innerd/{ID}", bytes(32))
OTHER = Signer(f"innerd/{ID}", bytes(31) + b"1")
KEY = str(BY.verifier)


def hash_of(revision: int, what: str = "") -> str:
    return f"{revision}{what}".encode().hex().ljust(64, "0")


def note(revision: int, *, generation: int = 1, what: str = "", by: Signer = BY, network: str = ID) -> str:
    return sign(by, Checkpoint(network, generation, revision, hash_of(revision, what)))


def greeting(revision: int = 10, **changes: Any) -> Hello:
    """A hello whose head is signed."""
    head = {"head": revision, "head_hash": hash_of(revision), "checkpoint_key": KEY, "checkpoint": note(revision)}
    head["cursor_hash"] = hash_of(10)  # of who was told of revision 10 before
    return hello(**head | changes)


def told(note_: str) -> CheckpointJson:
    return CheckpointJson(note=note_)


def delta(revision: int, **changes: Any) -> DeltaJson:
    return DeltaJson(**{"revision": revision, "head_hash": hash_of(revision)} | changes)


def met() -> Membership:
    """A core that was told of the network at revision 10, and shown its checkpoint."""
    core = new_core()
    heard(core, [greeting(), snapshot(COORDINATOR, ME, MARI, head_hash=hash_of(10))], NOW)
    return core


def revisions(core: Membership) -> list[tuple[int, int]]:
    return list(core.witnessed.hashes)


# -- what agrees ----------------------------------------------------------------------------------------------------


def test_the_first_key_is_pinned_and_checkpoints_are_kept() -> None:
    core = met()
    assert (core.witnessed.key, core.witnessed.kept) == (KEY, (Seen(note(10), NOW),))
    heard(core, [told(note(12)), delta(11), delta(12), told(note(13))], NOW + 60)
    assert revisions(core) == [(1, 10), (1, 12), (1, 13)]
    heard(core, [told(note(12))], NOW + 61)
    assert revisions(core) == [(1, 10), (1, 12), (1, 13)], "what is known is not kept twice"


def test_a_coordinator_that_signs_nothing_is_believed_as_before() -> None:
    core, _ = in_step(MARI)
    assert core.witnessed == Witnessed()
    heard(core, [told(note(11))], NOW)  # whose key nobody named
    assert core.witnessed == Witnessed()


def test_a_checkpoint_may_be_older_than_its_hello() -> None:
    core = new_core()
    heard(core, [greeting(12, checkpoint=note(10))], NOW)
    assert revisions(core) == [(1, 10)]


def test_after_a_restore_the_same_revision_has_another_hash_and_the_same_key() -> None:
    core = met()
    heard(core, [delta(11), delta(12)], NOW)
    restored = greeting(12, generation=2, head_hash=hash_of(12, "x"), checkpoint=note(12, generation=2, what="x"))
    heard(core, [restored], NOW)  # its snapshot comes in a chunk of its own
    heard(core, [snapshot(COORDINATOR, ME, revision=12, head_hash=hash_of(12, "x"))], NOW)
    assert revisions(core) == [(1, 10), (2, 12)]


# -- what does not --------------------------------------------------------------------------------------------------

FORKS_TOLD: dict[str, list[Any]] = {
    "a checkpoint of another hash where one was signed": [told(note(10, what="x"))],
    "the same in a hello": [greeting(11, checkpoint=note(10, what="x"))],
    "a hello whose own head it contradicts": [greeting(12, checkpoint=note(12, what="x"))],
    "a hello that tells another hash than was signed": [greeting(10, head_hash=hash_of(10, "x"), checkpoint=None)],
    "a delta that it contradicts": [told(note(11, what="x")), delta(11)],
    "a delta before it, in one chunk with a later one": [told(note(11, what="x")), delta(11), delta(12)],
    "a checkpoint that a delta contradicts": [delta(11), told(note(11, what="x"))],
    "a snapshot that it contradicts": [told(note(11, what="x")), snapshot(revision=11, head_hash=hash_of(11))],
    "another key": [greeting(checkpoint_key=str(OTHER.verifier), checkpoint=note(10, by=OTHER))],
    "another key's checkpoint": [told(note(12, by=OTHER))],
    "another network's key": [
        greeting(checkpoint_key=str(Signer(f"innerd/{'b' * 32}", bytes(32)).verifier), checkpoint=None)
    ],
    "another network's checkpoint": [told(note(12, network="b" * 32))],
    "another generation's checkpoint": [told(note(12, generation=2))],
    "a signature that does not hold": [told(note(12).replace("\n12\n", "\n13\n"))],
}


@pytest.mark.parametrize("what", FORKS_TOLD)
def test_another_log_is_not_believed(what: str) -> None:
    core = met()
    before = core.netmap
    with pytest.raises(LogForked):
        heard(core, FORKS_TOLD[what], NOW)
    assert core.netmap is before
    assert (core.witnessed.key, revisions(core)) == (KEY, [(1, 10)])


def test_a_head_before_what_was_signed_is_another_log() -> None:
    core = met()
    heard(core, [told(note(20))], NOW)
    before = core.netmap
    with pytest.raises(LogForked):
        heard(core, [greeting(15, checkpoint=None, checkpoint_key=None)], NOW)
    assert core.netmap is before
    assert revisions(core) == [(1, 10), (1, 20)]


def test_the_first_hello_must_be_signed_by_the_key_that_it_names() -> None:
    core = new_core()
    for changes in ({"checkpoint_key": str(OTHER.verifier)}, {"checkpoint": note(10, what="x")}):
        with pytest.raises(LogForked):
            heard(core, [greeting(**changes)], NOW)
    assert core.witnessed == Witnessed()


@pytest.mark.parametrize("text", ["", "a\n\nb\n", "\u2014", note(10)[:-1], "x" * 100_000])
def test_what_is_no_checkpoint_is_refused_and_no_fork(text: str) -> None:
    core = met()
    for frames in ([told(text)], [greeting(checkpoint=text)]):
        with pytest.raises(Refused):
            heard(core, frames, NOW)
    with pytest.raises(Refused):
        heard(new_core(), [greeting(checkpoint_key=text)], NOW)
    assert core.witnessed.forks == ()


def test_who_forgot_the_network_still_knows_what_was_signed() -> None:
    """Without its netmap a client would take a snapshot of any revision."""
    core = new_core()
    core.witnessed = met().witnessed
    for frames in ([greeting(9, checkpoint=note(9))], [greeting(head_hash=hash_of(10, "x"), checkpoint=None)]):
        with pytest.raises(LogForked):
            heard(core, frames, NOW)


def test_the_proof_of_a_fork_is_kept_and_what_proves_nothing_is_not() -> None:
    core = met()
    for frames in FORKS_TOLD.values():
        heard(core, [greeting()], NOW)
        with pytest.raises(LogForked):
            heard(core, frames, NOW + 5)
    kept = [seen.note for seen in core.witnessed.forks]
    assert note(10, what="x") in kept
    assert note(12, by=OTHER) not in kept
    assert len(set(kept)) == len(kept)
    found = compared(BY.verifier, [seen.note for seen in (*core.witnessed.kept, *core.witnessed.forks)], [])
    assert (1, 10) in [(c.generation, c.revision) for c in found.contradictions]


def test_a_coordinator_that_lies_for_ever_fills_no_disk() -> None:
    core = met()
    for number in range(FORKS + 10):
        with pytest.raises(LogForked):
            heard(core, [told(note(10, what=f"x{number}"))], NOW)
    assert len(core.witnessed.forks) == FORKS


# -- how many are kept ----------------------------------------------------------------------------------------------


def test_of_a_day_that_is_past_the_last_is_kept() -> None:
    witnessed = Witnessed(KEY)
    for number in range(3 * 1440):  # one a minute, for three days
        witnessed = take_note(witnessed, note(number + 1), 1, NOW // 86_400 * 86_400 + number * 60)
    assert list(witnessed.hashes)[:3] == [(1, 1440), (1, 2880), (1, 4320 - NEWEST)]
    assert list(witnessed.hashes)[3:] == [(1, number) for number in range(4321 - NEWEST, 4321)]
    assert len(witnessed.kept) == len(witnessed.hashes)


def test_a_year_of_days_is_bounded() -> None:
    witnessed = Witnessed(KEY)
    for day in range(365):
        witnessed = take_note(witnessed, note(day + 1), 1, NOW + day * 86_400)
    assert len(witnessed.kept) == NEWEST + DAYS
    assert [seen.note for seen in witnessed.kept] == [note(day + 1) for day in range(365 - NEWEST - DAYS, 365)]


# -- on disk --------------------------------------------------------------------------------------------------------


def test_what_was_signed_is_read_as_it_was_written(tmp_path: Path) -> None:
    core, paths = met(), paths_in(tmp_path)
    with pytest.raises(LogForked):
        heard(core, [told(note(10, what="x"))], NOW)
    store.save_witnessed(paths, core.witnessed)
    assert paths.checkpoints.stat().st_mode & 0o777 == 0o600
    assert store.load_witnessed(paths) == core.witnessed
    assert store.load_witnessed(paths_in(tmp_path / "elsewhere")) == Witnessed()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text.replace('"version":1', '"version":2'),
        lambda text: text.replace(KEY, str(OTHER.verifier)),
        lambda text: text.replace(KEY, "x"),
        lambda text: text.replace("generation 1", "generation 2"),
    ],
)
def test_a_file_that_was_changed_is_said_and_never_begun_anew(spoil: Callable[[str], str], tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    store.save_witnessed(paths, met().witnessed)
    paths.checkpoints.write_text(spoil(paths.checkpoints.read_text()))
    with pytest.raises(Failure) as failed:
        store.load_witnessed(paths)
    assert (failed.value.status, failed.value.code) == (TRUST, "state_unreadable")


# -- comparing ------------------------------------------------------------------------------------------------------

places = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.sampled_from(["", "x"])), max_size=8)


@given(places, places)
def test_two_sides_contradict_each_other_exactly_where_one_place_has_two_hashes(
    ours: list[tuple[int, int, str]], theirs: list[tuple[int, int, str]]
) -> None:
    notes = [[note(r, generation=g, what=w) for g, r, w in side] for side in (ours, theirs)]
    found = compared(BY.verifier, *notes)
    both = {(g, r): {w for g2, r2, w in ours + theirs if (g2, r2) == (g, r)} for g, r, _ in ours + theirs}
    split = {at for at, hashes in both.items() if len(hashes) > 1}
    assert {(c.generation, c.revision) for c in found.contradictions} == split
    common = {(g, r) for g, r, _ in ours} & {(g, r) for g, r, _ in theirs}
    assert set(found.same) == common - split
    for contradiction in found.contradictions:
        assert contradiction.one != contradiction.other
        assert {contradiction.one, contradiction.other} <= {*notes[0], *notes[1]}


def test_what_the_key_did_not_sign_is_compared_with_nothing() -> None:
    with pytest.raises(NotSigned):
        compared(BY.verifier, [note(10)], [note(10, what="x", by=OTHER)])
    with pytest.raises(NotSigned):
        remembered(KEY, [Seen(note(10, by=OTHER), NOW)], [])

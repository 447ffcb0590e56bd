"""Since when two peers see each other, or don't, from what is kept; and how little that is."""

from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given, settings

from innerd.domain import events as e
from innerd.domain import sight
from innerd.domain.events import AnyEvent, type_of
from innerd.domain.network import EMPTY, Network, evolve
from innerd.domain.sight import CONCERNED, Sightings
from tests.domain.lands import LANDS
from tests.domain.oracle import told
from tests.log.histories import STEPS, Step, history

LAND = LANDS["ipv4"]


def stages_of(happened: list[AnyEvent]) -> list[Network]:
    found = [EMPTY]
    for event in happened:
        found.append(evolve(found[-1], event))
    return found


def sightings_of(happened: list[AnyEvent]) -> Sightings:
    made = Sightings()
    for seq, event in enumerate(happened, 1):
        if type_of(event).startswith(CONCERNED):
            made.note(seq, event)
    return made


@pytest.mark.parametrize("kept", [1, 2, 100])
@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_what_is_said_is_so_and_what_is_forgotten_is_said_to_be(kept: int, steps: list[Step]) -> None:
    happened = [event for turn in history(steps) for event in turn.events]
    stages = stages_of(happened)
    with pytest.MonkeyPatch.context() as patch:
        for bound in ("_TURNS", "_GONE", "_OVER"):
            patch.setattr(sight, bound, kept)
        known = sightings_of(happened)
    for revision in {len(happened), len(happened) - 1, len(happened) // 2}:
        for a, b in combinations(sorted({*stages[-1].peers, *stages[-1].retired}), 2):
            if (expected := told(stages, a, b, revision)) is None:
                continue
            found = known.since(a, b, revision)
            if found.before is None:
                assert found.seq == expected[1]
            else:
                assert found.seq is None
                assert expected[1] < found.before <= revision + 1
                assert kept < 100, "nothing had to be forgotten"


def toggled(times: int) -> Iterator[AnyEvent]:
    """Everything that can come and go without end, so many times."""
    yield from LAND.founding()
    yield from (LAND.cidr(3, "humans", "128.0/17"), LAND.cidr(4, "cats", "3.0/24"))
    yield from (LAND.peer(2, "ryo", "128.1"), LAND.peer(3, "tama", "3.1"))
    for number in range(10, 10 + times):
        yield e.AssociationAdded(id=number, cidr_id_1=3, cidr_id_2=4)
        yield e.AssociationDeleted(id=number, cidr_id_1=3, cidr_id_2=4)
        yield LAND.cidr(number, "ovens", "64.0/24")
        yield e.CidrDeleted(id=number, name="ovens", range="10.42.64.0/24")
        yield LAND.invited(number, "kuro", "3.2", key=f"kuro {number}")
        yield e.PeerDeleted(id=number, name="kuro", ip="10.42.3.2")
        yield e.PeerDisabled(id=2, name="ryo")
        yield e.PeerEnabled(id=2, name="ryo")


def held(thing: object) -> int:
    """How many parts something is made of."""
    if isinstance(thing, dict):
        return sum(1 + held(value) for value in thing.values())
    if isinstance(thing, (list, tuple)) or hasattr(thing, "popleft"):
        return sum(1 + held(value) for value in thing)  # type: ignore[attr-defined]
    fields = getattr(thing, "__struct_fields__", None) or getattr(thing, "__dict__", ())
    return sum(1 + held(getattr(thing, field)) for field in fields)


def test_what_is_kept_does_not_grow_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("_TURNS", "_GONE", "_OVER"):
        monkeypatch.setattr(sight, bound, 20)
    happened = list(toggled(200))
    known = sightings_of(happened)
    assert held(known) == held(sightings_of(list(toggled(100))))
    found = known.since(2, 3, len(happened))
    assert found.before is None
    assert found.seq == len(happened) - 8 + 2, "the last time that the two were associated ended here"
    assert known.since(2, 3, 60).before == 61, "so long ago is forgotten"
    assert known.since(1, 2, len(happened)).seq == len(happened), "the tree is nothing to the coordinator"

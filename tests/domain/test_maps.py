"""The map for Pythons that `immutables` has no wheel for does what `immutables` does, and changes no map that was given
out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

immutables = pytest.importorskip("immutables")
pytest.importorskip("rpds")

from innerd.domain import tries  # noqa: E402 - what it stands on may be missing

KEYS = st.integers(0, 7)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set", "delete", "pop"]), KEYS),
        st.tuples(st.just("update"), st.dictionaries(KEYS, st.integers())),
    )
)


def result(step: Any, *arguments: Any) -> Any:
    try:
        return step(*arguments)
    except KeyError:
        return KeyError


def look(found: Any) -> tuple[Any, ...]:
    return (
        *(dict(found.items()), set(found), set(found.keys()), sorted(found.values()), len(found)),
        *([found.get(key) for key in range(8)], [found.get(key, "no") for key in range(8)]),
        [key in found for key in range(8)],
    )


@given(st.dictionaries(KEYS, st.integers()), STEPS)
def test_both_maps_do_the_same(start: dict[int, int], steps: list[Any]) -> None:
    ours, theirs = tries.Map(start), immutables.Map(start)
    our_draft, their_draft = ours.mutate(), theirs.mutate()
    before = look(ours)
    for number, (what, with_) in enumerate(steps):
        match what:
            case "set":
                our_draft[with_] = their_draft[with_] = number
                ours, theirs = ours.set(with_, number), theirs.set(with_, number)
            case "delete":
                assert result(our_draft.__delitem__, with_) == result(their_draft.__delitem__, with_)
                pair = result(ours.delete, with_), result(theirs.delete, with_)
                assert (pair[0] is KeyError) == (pair[1] is KeyError)
                if pair[0] is not KeyError:
                    ours, theirs = pair
            case "pop":
                assert result(our_draft.pop, with_) == result(their_draft.pop, with_)
                assert our_draft.pop(with_, None) == their_draft.pop(with_, None)
            case _:
                our_draft.update(with_)
                their_draft.update(with_)
        assert look(ours) == look(theirs)
        assert (with_ in our_draft) == (with_ in their_draft) if isinstance(with_, int) else True
    assert look(our_draft.finish()) == look(their_draft.finish())
    assert look(tries.Map(start)) == before


def test_equal_maps_are_equal_and_hash_alike() -> None:
    one, other = tries.Map({1: "a"}), tries.Map({2: "b"}).delete(2).set(1, "a")
    assert one == other
    assert hash(one) == hash(other)
    assert one != tries.Map({1: "b"})
    assert tries.Map(one) == one

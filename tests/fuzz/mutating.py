"""Bytes that are nearly right: a seed with a few things done to it."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import Target

_LONGEST = 100_000  # bytes


@st.composite
def mutants(draw: st.DrawFn, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """A seed after up to eight changes; now and then bytes that have nothing to do with any."""
    if draw(st.integers(0, 15)) == 15:
        return draw(st.binary(max_size=300))
    made = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(made)))
        end = min(len(made), at + draw(st.sampled_from([1, 1, 2, 4, 8, 40, len(made)])))
        match draw(st.integers(0, 6)):
            case 0:
                made[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                made[at:at] = draw(st.sampled_from(words))
            case 2:
                made[at:end] = draw(st.sampled_from(words))
            case 3:
                del made[at:end]
            case 4:
                made[at:at] = made[at:end]
            case 5:
                other = draw(st.sampled_from(seeds))
                made[at:] = other[draw(st.integers(0, len(other))) :]
            case _:
                made[at:at] = draw(st.binary(max_size=6))
    return bytes(made[:_LONGEST])


def tried(target: Target, **options: Any) -> None:
    """Give a target examples of its own, as hypothesis' settings say. Raises what it raises, for the smallest one."""

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck), **options)
    @given(data=mutants(target.seeds, target.words))
    def check(data: bytes) -> None:
        target.check(data)

    check()

"""Short lives of small networks, on every run; long ones of large networks are `make sim`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mesh.clock import lived as on_jumping_time
from tests.mesh.life import lived


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**9), peers=st.integers(3, 30))
def test_whatever_happens_all_come_to_hold_what_is_so_and_nobody_hears_of_others(seed: int, peers: int) -> None:
    life = on_jumping_time(lived(seed, peers, minutes=2))
    assert life.checks["pauses"] == 3
    assert life.checks["frames"] > 0


@pytest.mark.parametrize("seed", [7, 2021])
def test_a_seed_lives_the_same_life_again(seed: int) -> None:
    first, again = (on_jumping_time(lived(seed, 15, minutes=2)) for _ in range(2))
    assert first.trace == again.trace
    assert first.took == again.took
    assert on_jumping_time(lived(seed + 1, 15, minutes=2)).trace != first.trace

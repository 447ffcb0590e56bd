"""Every target takes what it is given: what was found before, its seeds, and some hundred mutants of them."""

from pathlib import Path

import pytest

from tests.fuzz import targets
from tests.fuzz.mutating import tried

FOUND = Path(__file__).parent / "found"
CASES = sorted(path for path in FOUND.glob("*/*") if path.is_file())


@pytest.mark.parametrize("name", targets.names())
def test_a_target_takes_its_seeds_and_what_is_nearly_them(name: str) -> None:
    target = targets.load(name)
    for seed in target.seeds:
        target.check(seed)

    # Always the same examples: a suite must not fail by luck. `make fuzz` looks for new ones.
    tried(target, derandomize=True, max_examples=target.examples)


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_mended(case: Path) -> None:
    targets.load(case.parent.name).check(case.read_bytes())


def test_a_case_lies_with_a_target() -> None:
    assert {case.parent.name for case in CASES} <= set(targets.names())

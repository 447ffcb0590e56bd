"""What a network takes of a host needs leave: a flag, or somebody at a terminal who was told what it means. Without
either it is refused, and nothing is changed."""

import sys

from innerd.command import output, prompt
from innerd.domain.claims import check_range, is_own_suffix
from innerd.domain.errors import Refused
from innerd.domain.values import Range
from innerd.failure import REFUSED, Failure, as_failure


def to_range(block: Range, *, given: bool) -> None:
    """A range that is not private. Raises Failure, Refused."""
    check_range(block, public=True)
    try:
        check_range(block)
    except Refused as refused:
        failure = as_failure(refused)
        assert failure is not None  # noqa: S101 - every refusal is one
        _leave(failure, "Take it all the same?", "--public-range", given=given)


def to_overlaps(block: Range, said: list[str], *, given: bool) -> None:
    """A range in which this host has something of its own, as `said`. Raises Failure."""
    if said:
        _leave(
            Failure(
                REFUSED,
                "range_in_use",
                f"this host has something of its own where the network's range is ({block}): {'; '.join(said)}",
                "take another range, or move what is there; --accept-overlap takes it all the same",
            ),
            "Take it all the same?",
            "--accept-overlap",
            given=given,
        )


def to_suffix(suffix: str) -> None:
    """A domain that others have names in. Raises Failure."""
    if not is_own_suffix(suffix):
        _leave(
            Failure(
                REFUSED,
                "suffix_public",
                f'the network\'s names end in "{suffix}", a domain of others: the coordinator would say what is in it',
                f"--suffix {suffix} takes it, and --suffix wg takes the names without it",
            ),
            "Take it all the same?",
            f"--suffix {suffix}",
            given=False,
        )


def _leave(failure: Failure, question: str, flag: str, *, given: bool) -> None:
    if given:
        return
    if not prompt.is_interactive():
        raise failure
    output.line(f"{failure.message}.", out=sys.stderr)
    if not prompt.yes_no(question, flag):
        raise Failure(130, "cancelled", "nothing was changed")

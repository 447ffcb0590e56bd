"""One line a figure: what, how much, against which reference, and the goal that we set ourselves."""

import sys
from collections.abc import Sequence


def title(text: str) -> None:
    say(f"\n{text}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def figure(what: str, value: str, goal: str = "", reference: str = "", ratio: float | None = None) -> None:
    """`ratio` is how many times better than the reference we are."""
    parts = [f"  {what:<52} {value:>16}"]
    if reference:
        parts.append(f"{reference}" + (f" ({ratio:.1f}x)" if ratio is not None else ""))
    if goal:
        parts.append(f"goal {goal}")
    say("   ".join(parts))


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], unit: str = "ms", scale: float = 1000) -> str:
    """Median and maximum."""
    return f"{scale * quantile(values, 0.5):.0f} {unit}, max {scale * max(values):.0f}"

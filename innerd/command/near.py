"""What somebody may have meant who typed a name that is not there."""

from collections.abc import Iterable


def near(typed: str, known: Iterable[str]) -> str | None:
    """The nearest of the names that are known, whatever its case; None where nothing is near."""
    import difflib  # takes its time, and is for those who mistyped

    by_folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(typed.casefold(), by_folded, 1, 0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(typed: str, known: Iterable[str], otherwise: str | None = None) -> str | None:
    """A hint: the nearest name, else what helps otherwise."""
    found = near(typed, known)
    return otherwise if found is None else f'did you mean "{found}"?'

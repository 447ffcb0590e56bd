"""How large a terminal is; colours and weights, for who looks and wants them."""

import os
import sys


def is_styled() -> bool:
    """Whether somebody looks at stdout who can see colours, and wants to."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def in_style(text: str, code: str) -> str:
    """A text in a colour or weight (ECMA-48)."""
    return f"\x1b[{code}m{text}\x1b[0m"


def size() -> tuple[int, int]:
    """Columns and lines, as shutil has them, which takes longer to load."""
    said = [os.environ.get(name, "") for name in ("COLUMNS", "LINES")]
    found = [int(text) if text.isdecimal() else 0 for text in said]
    if not all(found):
        try:
            real = os.get_terminal_size(sys.__stdout__.fileno())  # type: ignore[union-attr]
        except (AttributeError, ValueError, OSError):  # closed, or no terminal
            real = os.terminal_size((0, 0))
        found = [known or own for known, own in zip(found, real, strict=True)]
    return found[0] or 80, found[1] or 24

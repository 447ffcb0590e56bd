"""Colours and weights, for who looks and wants them."""

import os
import sys


def is_styled() -> bool:
    """Whether somebody looks at stdout who can see colours, and wants to."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def in_style(text: str, code: str) -> str:
    """A text in a colour or weight (ECMA-48)."""
    return f"\x1b[{code}m{text}\x1b[0m"

"""The standard streams of a command, made to take whatever is written to them."""

import codecs
import os
import sys
from io import TextIOWrapper

from innerd.terminal import json_escape

_PLAIN = {"\u25c9": "*", "\u25ef": "o"}  # our own marks, where there is no better


def make_whole() -> None:
    """Streams that take whatever is written: those that were closed lead nowhere, and what a terminal of few letters
    (ASCII, Latin-1) has no sign for is spelled as JSON does."""
    codecs.register_error("spelled", _spelled)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)  # or a file that is opened later would be written to
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="spelled")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """An error handler (codecs.register_error)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or json_escape(sign) for sign in signs), error.end

"""The targets: each a module with `check`, `SEEDS`, and maybe `WORDS` and `EXAMPLES` (how many the suite tries)."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import NamedTuple

# In every dictionary: ends of numbers and of nesting, what is no text, what terminals and C programs stumble over.
_WORDS = [
    *(b"0", b"-1", b"255", b"65536", b"4294967296", b"18446744073709551616", b"1e999", b"9" * 5000, b"NaN"),
    *(b"\x00", b"\xff", b"\xc3\x28", b"\xef\xbb\xbf", b"\x1b[2J", b"\r\n", b"\n\n", b"null", b"true", b'""'),
    *(b'"x":' + b"[" * 2000 + b"]" * 2000 + b",", b"[" * 2000, b'{"a":' * 2000, b"\\ud800", b"\\u0000"),
    *("ß²٣".encode(), b"%00", b"../", b"a" * 300),
]


class Target(NamedTuple):
    """`check` takes any bytes and raises only where something is wrong with us."""

    name: str
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes]
    examples: int


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Target:
    module = importlib.import_module(f"{__name__}.{name}")
    words = [*_WORDS, *getattr(module, "WORDS", ())]
    return Target(name, module.check, module.SEEDS, words, getattr(module, "EXAMPLES", 200))

"""TOML files as shapes: config files and invitations. An unknown key is an error that names it."""

import re
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec
import tomli_w

from innerd.failure import USAGE, Failure

T = TypeVar("T")

_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
_WHERE = re.compile(r" - at `\$\.?(?:([^`]*)\.)?([^`.\[]*)(?:\[[^`]*)?`$")


def parse(text: str, shape: type[T], where: str, code: str = "config_invalid", status: int = USAGE) -> T:
    """The document as a shape; a byte order mark, as editors of Windows write it, is no part of it. Raises Failure with
    the place of what is wrong."""
    text = text.removeprefix("\ufeff")
    try:
        return msgspec.convert(tomllib.loads(text), shape)
    except msgspec.ValidationError as error:
        line = _line_of(text, str(error))
        place = f"{where}, line {line}" if line else where
        raise Failure(status, code, f"{place}: {_plain(str(error))}") from None
    except (ValueError, RecursionError) as error:  # and a number of thousands of digits
        raise Failure(status, code, f"{where} is not TOML: {error}") from None


def _plain(message: str) -> str:
    found = _UNKNOWN.fullmatch(message)
    if found is None:
        return message
    section = f" in [{found[2]}]" if found[2] else ""
    return f'unknown key "{found[1]}"{section}'


def _line_of(text: str, message: str) -> int | None:
    """The line of what is wrong; None where it can't be told, or where something is missing."""
    unknown, place = _UNKNOWN.fullmatch(message), _WHERE.search(message)
    if unknown is not None:
        section, key = unknown[2] or "", unknown[1]
    elif place is not None and "missing required field" not in message:
        section, key = place[1] or "", place[2]
    else:
        return None
    names_key = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""")
    names_table = re.compile(rf"""\s*\[\[?\s*["']?{re.escape(key)}["']?\s*[].]""")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not section and names_table.match(line):
            return number
        head = re.match(r"\s*\[+([^]]*)]", line)
        current = head[1].strip() if head else current
        if current == section and not head and names_key.match(line):
            return number
    return None


def read(path: Path, shape: type[T]) -> T:
    """A config file. Raises FileNotFoundError, Failure."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Failure(USAGE, "config_invalid", f"{path} is not UTF-8") from None
    return parse(text, shape, str(path))


def write(document: msgspec.Struct) -> bytes:
    """A shape as TOML, without what is unset."""
    return tomli_w.dumps(_without_none(msgspec.to_builtins(document))).encode()


def _without_none(value: object) -> dict[str, object]:
    assert isinstance(value, dict)  # noqa: S101 - documents are tables
    return {
        key: _without_none(inner) if isinstance(inner, dict) else inner
        for key, inner in value.items()
        if inner is not None and inner != {}
    }

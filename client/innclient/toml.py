"""TOML files as shapes: config files and invitations. An unknown key is an error that names it."""

import re
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec
import tomli_w

from innclient.failures import USAGE, Failure

T = TypeVar("T")

_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")


def parse(text: str, shape: type[T], where: str, code: str = "config_invalid", status: int = USAGE) -> T:
    """The document as a shape. Raises Failure with the place of what is wrong."""
    try:
        return msgspec.convert(tomllib.loads(text), shape)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Failure(status, code, f"{where} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise Failure(status, code, f"{where}: {_plain(str(error))}") from None


def _plain(message: str) -> str:
    found = _UNKNOWN.fullmatch(message)
    if found is None:
        return message
    section = f" in [{found[2]}]" if found[2] else ""
    return f'unknown key "{found[1]}"{section}'


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

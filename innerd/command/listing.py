"""What all that lists shares: which columns, again and again (`--watch`), and a pager where somebody looks.

What is printed to a terminal is held until it is whole, then shown at once: as it is, through the pager, or in place of
what was there before.
"""

import contextlib
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from innerd.command.options import EVERY
from innerd.command.output import COLUMNS, moment
from innerd.command.settings import settings_of

_WATCH, _NO_PAGER = "innclient.watch", "innclient.no-pager"  # in a context's meta
_LESS = "FRX"  # ends where all fits, keeps colours, leaves the screen as it is


class _Columns(click.ParamType):  # type: ignore[type-arg]
    """Names of columns, with commas between; in the order in which they are wanted."""

    name = "columns"

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        wanted = tuple(part.strip().lower() for part in str(value).split(","))
        for name in wanted:
            if name not in self._known:
                self.fail(f"'{name}' is no column: they are {', '.join(self._known)}.", param, ctx)
        return wanted

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + name) for name in self._known if name.startswith(last)]


def _into(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            context.meta[key] = value

    return store


def _columns(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and settings_of(context).as_json:
        raise click.UsageError("--columns and --json exclude each other: a document has all", context)
    _into(COLUMNS)(context, parameter, value)


NO_PAGER = click.option(
    "--no-pager",
    is_flag=True,
    expose_value=False,
    callback=_into(_NO_PAGER),
    help="Never through a pager.",
)
_AGAIN = click.option(
    "--watch",
    type=click.IntRange(1, 86_400),
    metavar="[=SECONDS]",
    expose_value=False,
    callback=_into(_WATCH),
    help=f"Show it again and again, every {EVERY} (or so many) seconds.",
)


def looks(*columns: str) -> Callable[[Any], Any]:
    """The flags of what lists, with the columns that it can show, if it has some."""
    names = tuple(dict.fromkeys(name.lower() for name in columns))
    options = [_AGAIN, NO_PAGER]
    if names:
        known = f"Only these, in this order: {', '.join(names)}."
        options.insert(
            0,
            click.option(
                "--columns", metavar="A,B", type=_Columns(names), expose_value=False, callback=_columns, help=known
            ),
        )

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def is_watched() -> bool:
    return _WATCH in click.get_current_context().meta


def has_columns() -> bool:
    return COLUMNS in click.get_current_context().meta


def shown(once: Callable[[], int]) -> int:
    """What `once` prints, as the flags say; its status. Under --watch it goes on until it is interrupted."""
    seconds = click.get_current_context().meta.get(_WATCH)
    if seconds is None:
        with _held(_give):
            return once()
    while True:
        with _held(_redraw):
            once()
        sys.stdout.flush()
        time.sleep(seconds)


class _Held(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def _held(give: Callable[[str], None]) -> Iterator[None]:
    if not sys.stdout.isatty():
        yield
        return
    screen, held = sys.stdout, _Held()
    sys.stdout = held
    try:
        yield
    except BaseException:
        screen.write(held.getvalue())  # what was said before it went wrong
        raise
    finally:
        sys.stdout = screen
    give(held.getvalue())


def _redraw(text: str) -> None:
    """In place of what was there; what the screen has no room for is counted."""
    lines, room = text.splitlines(), shutil.get_terminal_size().lines - 2
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} lines more"]
    clear = "" if os.environ.get("TERM") == "dumb" else "\x1b[H\x1b[2J"
    sys.stdout.write(f"{clear}{moment(time.time())}, until Ctrl-C\n" + "".join(f"{line}\n" for line in lines))


def _give(text: str) -> None:
    pager = _pager()
    if pager is None or text.count("\n") < shutil.get_terminal_size().lines:
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        _page(pager, text.encode(sys.stdout.encoding, sys.stdout.errors or "strict"))


def _pager() -> list[str] | None:
    """$PAGER, else less; None where there is none, or none is wanted."""
    import shlex

    if click.get_current_context().meta.get(_NO_PAGER) or os.environ.get("TERM", "dumb") == "dumb":
        return None
    with contextlib.suppress(ValueError):  # an open quote
        words = shlex.split(os.environ.get("PAGER", "less"))
        if words and words != ["cat"] and shutil.which(words[0]):
            return words
    return None


def _page(pager: list[str], text: bytes) -> None:
    import subprocess

    before = signal.signal(signal.SIGINT, lambda *_: None)  # it is the pager's
    try:
        subprocess.run(pager, input=text, env={"LESS": _LESS, **os.environ}, check=False)
    finally:
        signal.signal(signal.SIGINT, before)

"""The flags of all that lists: which columns, again and again (`--watch`), no pager (`screen`)."""

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from innerd.command import screen
from innerd.command.options import EVERY
from innerd.command.output import COLUMNS
from innerd.command.settings import settings_of

_WATCH, _NO_PAGER = "innclient.watch", "innclient.no-pager"  # in a context's meta


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
    meta = click.get_current_context().meta
    return screen.shown(once, paged=not meta.get(_NO_PAGER), every=meta.get(_WATCH))

"""Values of flags that are one of a known set: what is refused names them, and a shell offers them."""

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Truth(click.types.StringParamType):
    """`true` or `false`; also yes, no, on, off, 1, 0."""

    name = "true|false"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, bool):
            return value
        found = _TRUTHS.get(str(value).strip().lower())
        return self.fail(f"'{value}' is neither true nor false.", param, ctx) if found is None else found

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return offered(("true", "false"), incomplete)


class Offered(click.types.StringParamType):
    """Text of which some is known: it is offered, and anything else is taken too."""

    def __init__(self, known: Callable[[], Iterable[str]]) -> None:
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return offered(self._known(), incomplete)


def offered(known: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(text) for text in sorted(known) if text.startswith(incomplete)]

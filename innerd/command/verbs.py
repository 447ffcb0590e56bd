"""The verbs of a program: named at once, loaded when one is looked at. Where each is, what is said of it in lists, and
what it takes is in `table`, which `deploy/verbs/generate.py` makes of the verbs themselves.
"""

import importlib
from collections.abc import Iterator, MutableMapping

import click

from innerd.command.table import VERBS


class Verbs(MutableMapping[str, click.Command]):
    """Verbs by name, as click wants them."""

    def __init__(self, program: str) -> None:
        self._places = VERBS[program]
        self._loaded: dict[str, click.Command | None] = dict.fromkeys(self._places)

    def __getitem__(self, name: str) -> click.Command:
        found = self._loaded[name]
        if found is not None:
            return found
        commands = importlib.import_module(self._places[name]).VERBS
        self._loaded |= {str(command.name): command for command in commands}
        return self[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)

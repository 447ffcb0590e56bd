"""Dialogues with the deciders: given(what happened).when(a wish).then(what happens), or .refused(code)."""

from collections.abc import Iterable

from innerd.domain import events as e
from innerd.domain.commands import Command
from innerd.domain.decide import decide
from innerd.domain.errors import Refused
from innerd.domain.network import EMPTY, Network, fold
from tests.domain.lands import NOW

Past = e.Event | tuple[e.AnyEvent, ...]  # an event, or a run of them such as the founding


def words(event: e.Event) -> str:
    """An event as a line: its stored name and what it says."""
    said = (f"{field}={getattr(event, field)!r}" for field in event.__struct_fields__)
    return f"{e.type_of(event)} {' '.join(said)}"


def listed(title: str, events: Iterable[e.Event]) -> str:
    return "\n".join([f"{title}:", *([f"  {words(event)}" for event in events] or ["  (nothing)"])])


class Given:
    def __init__(self, network: Network) -> None:
        self.network = network

    def when(self, command: Command, now: float = NOW) -> "Outcome":
        try:
            return Outcome(self.network, command, decide(self.network, command, now), None)
        except Refused as refused:
            return Outcome(self.network, command, (), refused)


class Outcome:
    def __init__(
        self, network: Network, command: Command, events: tuple[e.AnyEvent, ...], refused: Refused | None
    ) -> None:
        self.network, self.command, self.events, self.refusal = network, command, events, refused

    def then(self, *expected: e.AnyEvent) -> Given:
        """These events and no others; the dialogue can go on from there."""
        assert self.refusal is None, f"{self.command}\nwas refused [{self.refusal.code}]: {self.refusal.message}"
        told = "\n".join([str(self.command), listed("expected", expected), listed("happened", self.events)])
        assert self.events == expected, told
        return Given(fold(self.network, self.events))

    def refused(self, code: str) -> Refused:
        told = "\n".join([str(self.command), f"expected [{code}]", listed("happened", self.events)])
        assert self.refusal is not None, told
        assert self.refusal.code == code, f"expected [{code}], was [{self.refusal.code}]: {self.refusal.message}"
        return self.refusal


def given(*past: Past) -> Given:
    flat = (event for part in past for event in (part if isinstance(part, tuple) else (part,)))
    return Given(fold(EMPTY, flat))

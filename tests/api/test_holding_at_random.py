"""Whatever connections of a source do, in whatever order: as many are read as there is room for requests, none waits
for nothing, and what is counted as due is."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from innerd.api.sources import MOST_RUNNING, Sources, Visit
from tests.api.chairs import Chair

WHO = ("127.42.128.2", 700)


class Line(Chair):
    """A connection, as the listener treats one."""

    def __init__(self) -> None:
        super().__init__()
        self.is_proven = True
        self.visit: Visit | None = None

    def hold(self) -> None:
        self.is_held |= not self.is_due and self.visit is None


class Lines(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.sources = Sources(lambda: 0.0)
        self.source = self.sources.of(WHO)
        self.lines: list[Line] = []

    def _of(self, choice: int, *, running: bool | None = None, due: bool | None = None) -> Line | None:
        found = [
            line
            for line in self.lines
            if running in (None, line.visit is not None) and due in (None, line.is_due and line.has_sent)
        ]
        return found[choice % len(found)] if found else None

    def _is_read(self, line: Line) -> None:
        """What was sent comes in where it is read."""
        if line.has_sent and not line.is_held and not line.is_due and line.visit is None:
            line.is_due = True
            self.source.due += 1
            self.source.settle()

    @rule()
    def comes(self) -> None:
        if self.source.has_room():
            self.lines.append(Line())
            self.sources.seat(self.lines[-1], self.source)

    @rule(choice=st.integers(0, 99))
    def sends(self, choice: int) -> None:
        if (line := self._of(choice)) is not None:
            line.has_sent = True
            self._is_read(line)

    @rule(choice=st.integers(0, 99), is_request=st.booleans())
    def is_parsed(self, choice: int, is_request: bool) -> None:
        line = self._of(choice, due=True)
        if line is None:
            return
        line.is_due = line.has_sent = False
        self.source.due -= 1
        if is_request:
            self.source.served(line)
            line.visit = Visit(self.source)
        elif self.source.is_held:
            line.hold()
        self.source.settle()

    @rule(choice=st.integers(0, 99))
    def is_answered(self, choice: int) -> None:
        line = self._of(choice, running=True)
        if line is None or line.visit is None:
            return
        visit, line.visit = line.visit, None
        if self.source.is_held:
            line.hold()
        visit.leave()
        self._is_read(line)

    @rule(choice=st.integers(0, 99))
    def goes(self, choice: int) -> None:
        line = self._of(choice)
        if line is None:
            return
        self.lines.remove(line)
        self.sources.unseat(line, self.source)
        if line.is_due:
            line.is_due = False
            self.source.no_longer_due()
        if line.visit is not None:
            line.visit.leave()

    @rule(most=st.integers(1, MOST_RUNNING))
    def shares(self, most: int) -> None:
        """Others became heavy, or are not any more."""
        self.sources.running = most
        self.source.settle()

    @invariant()
    def what_is_due_is_counted(self) -> None:
        assert self.source.due == sum(line.is_due for line in self.lines)
        assert self.source.running == sum(line.visit is not None for line in self.lines)

    @invariant()
    def who_sent_something_waits_only_while_others_are_in_progress(self) -> None:
        if any(line.is_held for line in self.lines):
            assert self.source.is_held
            assert self.source.running + self.source.due >= self.sources.running

    @invariant()
    def no_more_are_in_progress_than_ever_may_be(self) -> None:
        assert self.source.running + self.source.due <= MOST_RUNNING

    @invariant()
    def nothing_that_is_read_is_forgotten(self) -> None:
        assert all(line.is_held or line.is_due or line.visit for line in self.lines if line.has_sent)


TestLines = Lines.TestCase
TestLines.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)

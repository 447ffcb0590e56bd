"""The connection to the coordinator: how it ends, its states, why there is none, and when the next one is tried.
Pure."""

from collections.abc import Callable
from enum import Enum, auto

from innclient.core import commands as c
from innclient.core.commands import Command
from innclient.core.netmap import LogForked, Netmap
from innerd.domain.errors import Refused, plainly
from innerd.domain.values import Endpoint, parse_endpoint
from innerd.failure import Failure
from innerd.wire.stream import Hello
from innerd.wireguard.device import DeviceError

_FIRST_PAUSE, _LAST_PAUSE = 0.2, 15.0  # seconds between connections that fail
_SHARED = 120.0  # seconds between them where another machine has our key: whoever connects takes the other's place
_HELD = 10.0  # seconds that a connection must last for the next one to be tried at once
_LONGEST = 500  # characters of a word of the coordinator that are kept


class Lost(Exception):
    """The connection ended or never was: try again. `silent`: nothing came back at all, not even a refusal."""

    def __init__(self, why: str, *, silent: bool = False) -> None:
        super().__init__(why)
        self.silent = silent


class Ended(Exception):
    """The coordinator ended the stream with a reason (`bye`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the coordinator ended the stream: {reason}")
        self.reason = reason


class Denied(Exception):
    """The coordinator answered, and said no. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class State(Enum):
    """AWAY -Opened-> OPENING -hello-> CATCHING_UP -whole presence-> FOLLOWING; -Parted-> AWAY from each."""

    AWAY = auto()
    OPENING = auto()
    CATCHING_UP = auto()
    FOLLOWING = auto()


class Connection:
    """`since` is when it was greeted, None without one; `heard_at` when anything came last (seconds since 1970)."""

    def __init__(self, netmap: Callable[[], Netmap]) -> None:
        self.state = State.AWAY
        self.since: float | None = None
        self.heard_at: float | None = None
        self.trouble: str | None = None  # why there is none
        self.forked: str | None = None
        self.twins: list[Endpoint] = []  # where the coordinator sees two machines with our key
        self._netmap = netmap
        self._pause = _FIRST_PAUSE

    def opened(self) -> None:
        self.state = State.OPENING

    def greeted(self, before: Netmap, hello: Hello, now: float) -> list[Command]:
        """Raises Refused for a hello that can't be read; then nothing has changed."""
        commands = self._shared([parse_endpoint(text) for text in (hello.twins or ())[:2]], now)
        self.state, self.since, self.trouble, self.forked = State.CATCHING_UP, now, None, None
        if before.revision and hello.generation != before.generation:
            commands.append(c.Log("warning", "the log was restored", {"generation": hello.generation}))
            text = f"the log was restored from a backup: generation {hello.generation}"
            commands.append(self._note(now, "log.restored", "log", text))
        commands.append(c.Log("info", "connected", {"revision": hello.head}))
        text = f"connected; the log is at revision {hello.head}"
        return [*commands, self._note(now, "coordinator.connected", "coordinator", text)]

    def _shared(self, twins: list[Endpoint], now: float) -> list[Command]:
        """Another machine has this peer's key: that is said, and no race for the place begins."""
        before, self.twins = self.twins, twins
        if not twins or before:
            return []
        text = f"another machine has this peer's key: it is seen at {' and '.join(twins)} in turns"
        return [c.Log("error", text), self._note(now, "key.shared", "key", text)]

    def caught_up(self) -> None:
        self.state = State.FOLLOWING

    def hurried(self) -> None:
        self._pause = _FIRST_PAUSE

    def parted(self, error: Exception, lasted: float, now: float) -> list[Command]:
        """Say why, and when it is tried again. A device that refused is not its fault: that is the device's to say."""
        commands = self._explained(error, now)
        self.state, self.since = State.AWAY, None
        self._pause = _FIRST_PAUSE if lasted > _HELD else min(2 * self._pause, _LAST_PAUSE)
        return [*commands, c.Connect(_SHARED if self.twins else self._pause)]

    def _explained(self, error: Exception, now: float) -> list[Command]:
        match error:
            case LogForked():
                return self._log_forked(str(error)[:_LONGEST], now)
            case Denied():
                self.trouble = f"{error.message[:_LONGEST]} [{error.code[:40]}]"
                return [c.Log("warning", "the coordinator refuses this peer", {"why": self.trouble})]
            case Ended():
                self.trouble = str(error)[:_LONGEST]
                said = c.Log("warning", "the coordinator ended the stream", {"reason": error.reason[:_LONGEST]})
                return [said, self._note(now, "coordinator.ended", "coordinator", self.trouble)]
            case DeviceError():
                self.trouble = error.message
                return [c.Log("error", "device", {"error": error.message, "code": error.code})]
            case Refused() | Failure():
                self.trouble = f"what the coordinator said can't be taken: {error.message[:_LONGEST]}"
                why = {"why": self.trouble, "code": error.code}
                return [c.Log("error", "the coordinator's word is not applied", why)]
            case Lost() | OSError():
                return self._lost(plainly(error)[:_LONGEST], now)
            case _:  # a bug of ours: the tunnels must not pay for it
                self.trouble = f"internal error: {type(error).__name__}: {error}"
                return [c.Log("error", "internal error", error=error)]

    def _log_forked(self, why: str, now: float) -> list[Command]:
        known, self.forked, self.trouble = self.forked, why, why
        said = c.Log("error", "the coordinator's log is another than was seen: nothing is applied", {"why": why})
        # It is tried again and again, and noted once.
        return [said] if why == known else [said, self._note(now, "log.forked", "log", why)]

    def _lost(self, why: str, now: float) -> list[Command]:
        is_news = self.trouble is None or self.since is not None
        self.trouble = why
        if not is_news:
            return []
        said = c.Log("warning", "no connection to the coordinator: everything stays as it is", {"why": why})
        return [said, self._note(now, "coordinator.lost", "coordinator", f"no connection to the coordinator: {why}")]

    def _note(self, now: float, type_: str, subject: str, text: str) -> c.Note:
        return c.note(self._netmap(), now, type_, subject, text)

"""By what the coordinator is reached: by UDP, as WireGuard is, or by TCP where UDP is blocked altogether and the
coordinator lets us. Pure.

Who hears nothing by UDP for ten seconds comes by TCP, if it knows a port for that; by way of it go the tunnel to the
coordinator and what it relays. Meanwhile it is asked by UDP now and then, and that is taken again as soon as there is
an answer."""

from enum import Enum, auto

from innclient.core import commands as c
from innclient.core.commands import Command
from innclient.core.connection import Lost
from innerd.domain.values import Endpoint

_SOON = 120.0  # seconds: whoever is silent by UDP again so soon is not trusted so soon the next time
SILENCE = 10.0  # seconds without a word by UDP
ASKS = (5.0, 10.0, 30.0, 60.0)  # seconds between two questions whether UDP is open again; the last one for ever
_PAUSES = (10.0, 30.0, 60.0)  # seconds between attempts that fail


class State(Enum):
    """UDP -silence-> OPENING -TcpOpened-> TCP; -TcpFailed, UdpOpen-> UDP."""

    UDP = auto()
    OPENING = auto()
    TCP = auto()


class Transport:
    """`port`: of the coordinator, for TCP; None where it has none. `remote`: where it is reached by TCP, while it is;
    `since` when (seconds since 1970)."""

    def __init__(self, port: int | None) -> None:
        self.port = port
        self.state = State.UDP
        self.remote: Endpoint | None = None
        self.since: float | None = None
        self._heard: float | None = None  # None: nobody stays to listen
        self._is_silent = False
        self._failures = self._returns = 0
        self._not_before = self._returned = 0.0
        self._has_returned = False

    @property
    def due(self) -> float | None:
        """When TCP is to be tried."""
        if self.port is None or self._heard is None or not self._is_silent or self.state is not State.UDP:
            return None
        return max(self._heard + SILENCE, self._not_before)

    def told(self, port: int | None) -> None:
        """The coordinator says at which port."""
        self.port = port if port is not None and 0 < port < 65536 else None

    def stays(self, now: float) -> None:
        self._heard = now

    def heard(self, now: float) -> list[Command]:
        """The coordinator says something."""
        if self.state is State.TCP:
            return []
        was, self.state = self.state, State.UDP
        self._heard = None if self._heard is None else now
        self._is_silent, self._failures, self._not_before = False, 0, 0.0
        return [c.CloseTcp()] if was is State.OPENING else []

    def parted(self, error: Exception, now: float) -> list[Command]:
        self._is_silent = isinstance(error, Lost) and error.silent
        return self.look(now)

    def look(self, now: float) -> list[Command]:
        if self._heard is not None and now < self._heard:  # the clock was set back
            self._heard, self._not_before = now, 0.0
        if self.due is None or self.port is None or now < self.due:
            return []
        self.state = State.OPENING
        if self._has_returned:
            self._has_returned = False
            self._returns = self._returns + 1 if 0 <= now - self._returned < _SOON else 0
        return [c.OpenTcp(self.port, self._returns)]

    def opened(self, remote: Endpoint, now: float) -> list[Command]:
        self.state, self.remote, self.since, self._failures = State.TCP, remote, now, 0
        why = {"remote": remote}
        return [c.Log("warning", "nothing is heard by UDP: the coordinator is reached by TCP from now on", why)]

    def failed(self, why: str, now: float) -> list[Command]:
        """It can't be reached by TCP, or not any more."""
        text = "the coordinator is not reached by TCP" + (" any more" if self.state is State.TCP else " either")
        self._by_udp()
        self._not_before = now + _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        return [c.Log("warning", text, {"why": why})]

    def open_again(self, now: float) -> list[Command]:
        """It answers by UDP."""
        self._by_udp()
        self._heard, self._is_silent, self._returned, self._has_returned = now, False, now, True
        return [c.Log("info", "the coordinator answers by UDP again")]

    def _by_udp(self) -> None:
        self.state, self.remote, self.since = State.UDP, None, None

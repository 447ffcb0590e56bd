"""Where relays are: the coordinator, and peers that may relay. What is sent to another peer there is relayed by them.
Pure."""

from collections.abc import Callable, Iterable, Sequence

from innerd.domain.values import COORDINATOR, Endpoint

_KEPT = 180.0  # seconds for which an endpoint is still known that a relay has left: sessions by way of it may be there


class RelayPlaces:
    """`open`: where those are that may be used now, in the order in which they are tried."""

    def __init__(self) -> None:
        self.open: tuple[Endpoint, ...] = ()
        self._here: dict[Endpoint, int] = {}
        self._former: dict[Endpoint, tuple[int, float]] = {}  # who was there, and until when that counts

    def see(
        self,
        coordinator: Endpoint | None,
        peers: Iterable[tuple[int, Endpoint]],
        said: Callable[[int], Sequence[Endpoint]],
        now: float,
        *,
        may_coordinator: bool,
    ) -> None:
        """Where the device reaches the coordinator, and `peers` that may relay; `said` is where one is said to be. Who
        is reached where nobody says that it is, is itself relayed by another."""
        here = {} if coordinator is None else {coordinator: COORDINATOR}
        for number, endpoint in peers:
            if endpoint not in here and endpoint in said(number):
                here[endpoint] = number
        for endpoint, number in self._here.items():
            if here.get(endpoint) != number:
                self._former[endpoint] = number, now + _KEPT
        self._former = {at: kept for at, kept in self._former.items() if now < kept[1]}
        self._here = here
        self.open = tuple(at for at, number in here.items() if number != COORDINATOR or may_coordinator)

    def via(self, number: int, endpoint: Endpoint | None, said: Callable[[int], Sequence[Endpoint]]) -> int | None:
        """Who relays what is sent to an endpoint of a peer, or did lately. `said` as above, asked only where one has
        been: this is asked of thousands of peers at each look."""
        if endpoint is None:
            return None
        relay = self._here.get(endpoint)
        if relay is None and endpoint in self._former and endpoint not in said(number):
            relay = self._former[endpoint][0]
        return None if relay == number else relay

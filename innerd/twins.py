"""Two machines with one key, as they come of a copied disk. WireGuard takes whoever spoke last for the peer, so it is
seen at two endpoints in turns: whoever merely moves does not come back to where it was, again and again. Pure."""

from collections import deque

from innerd.domain.values import Endpoint

_WITHIN, _RETURNS = 300.0, 3  # seconds, and how often it must have come back in them
_KEPT = 8  # moves of a peer


class Twins:
    def __init__(self) -> None:
        self._moves: dict[int, deque[tuple[float, Endpoint]]] = {}

    def moved(self, peer: int, to: Endpoint, now: float) -> None:
        """A peer is seen at another endpoint than before."""
        self._moves.setdefault(peer, deque(maxlen=_KEPT)).append((now, to))

    def of(self, peer: int, now: float) -> tuple[Endpoint, ...]:
        """The two endpoints at which a peer is seen in turns; none where it is one machine."""
        moves = [endpoint for at, endpoint in self._moves.get(peer, ()) if now - at < _WITHIN]
        returns = sum(endpoint in moves[: max(0, number - 1)] for number, endpoint in enumerate(moves))
        return tuple(sorted(set(moves[-2:]))) if returns >= _RETURNS else ()

    def all(self, now: float) -> dict[int, tuple[Endpoint, ...]]:
        return {peer: found for peer in list(self._moves) if (found := self.of(peer, now))}

    def forget(self, peer: int) -> None:
        self._moves.pop(peer, None)

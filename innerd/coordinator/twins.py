"""Two machines with one key, as they come of a copied disk. WireGuard takes whoever spoke last for the peer, so it is
seen at two endpoints in turns: whoever merely moves does not come back to where it was, again and again. Sooner still
it shows in their agents: a run of one that comes back after another run did has not ended in between. Pure."""

from collections import deque

from innerd.domain.values import Endpoint

_WITHIN, _RETURNS = 300.0, 3  # seconds, and how often it must have come back in them
_KEPT = 8  # moves of a peer, and runs of its agents
_REMEMBERED = 600.0  # seconds from the return of a run: twins that wait with reconnecting are twins still


class Twins:
    def __init__(self) -> None:
        self._moves: dict[int, deque[tuple[float, Endpoint]]] = {}
        self._runs: dict[int, list[str]] = {}
        self._returned: dict[int, float] = {}

    def moved(self, peer: int, to: Endpoint, now: float) -> None:
        """A peer is seen at another endpoint than before."""
        self._moves.setdefault(peer, deque(maxlen=_KEPT)).append((now, to))

    def met(self, peer: int, run: str, now: float) -> bool:
        """A run of its agent is there. Whether it is another than the one before."""
        runs = self._runs.setdefault(peer, [])
        if runs[-1:] == [run]:
            return False
        if run in runs:
            self._returned[peer] = now
            runs.remove(run)
        self._runs[peer] = [*runs, run][-_KEPT:]
        return True

    def of(self, peer: int, now: float) -> tuple[Endpoint, ...]:
        """The two endpoints at which a peer is seen in turns; none where it is one machine."""
        known = self._moves.get(peer, ())
        if now - self._returned.get(peer, -_REMEMBERED) < _REMEMBERED:
            newest = dict.fromkeys(endpoint for _, endpoint in reversed(known))
            return tuple(sorted([*newest][:2]))
        moves = [endpoint for at, endpoint in known if now - at < _WITHIN]
        returns = sum(endpoint in moves[: max(0, number - 1)] for number, endpoint in enumerate(moves))
        return tuple(sorted(set(moves[-2:]))) if returns >= _RETURNS else ()

    def all(self, now: float) -> dict[int, tuple[Endpoint, ...]]:
        return {peer: found for peer in list(self._moves) if (found := self.of(peer, now))}

    def forget(self, peer: int) -> None:
        for known in (self._moves, self._runs, self._returned):
            known.pop(peer, None)

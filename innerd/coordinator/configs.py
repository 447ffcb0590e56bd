"""How old the files of plain peers are: whom each reached when it was written, held against whom it sees now."""

from collections import OrderedDict

from innerd.coordinator.history import History
from innerd.domain.network import Peer
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import View
from innerd.wire.reach import ConfigState

_KEPT = 1024  # files, of which it is remembered what they say

Reached = dict[int, tuple[str, str, str]]  # by id: name, address and key


class Configs:
    def __init__(self, history: History) -> None:
        self._history = history
        self._written: OrderedDict[tuple[int, int], Reached] = OrderedDict()

    async def states(self, view: View) -> dict[int, ConfigState]:
        """Of all plain peers that take part, by id."""
        plain = [peer for peer in view.network.peers.values() if peer.is_plain and peer.is_active]
        return {peer.id: await self._state(view, peer) for peer in plain}

    async def _state(self, view: View, peer: Peer) -> ConfigState:
        assert peer.config is not None  # noqa: S101 - it is plain
        then, now = await self._then(peer.id, peer.config), _reached(view, peer)
        missing = [now[number][0] for number in sorted(now) if then.get(number, ())[1:] != now[number][1:]]
        gone = [then[number][0] for number in sorted(then) if number not in now]
        return ConfigState(revision=peer.config, behind=len(missing) + len(gone), missing=missing, gone=gone)

    async def _then(self, number: int, revision: int) -> Reached:
        """Whom a peer reached at a revision, which never changes."""
        key = (number, revision)
        known = self._written.get(key)
        if known is None:
            network = await self._history.at(revision)
            peer = network.peers.get(number)
            known = {} if peer is None else _reached(View.of(network), peer)
            self._written[key] = known
            while len(self._written) > _KEPT:
                self._written.popitem(last=False)
        self._written.move_to_end(key)
        return known


def _reached(view: View, peer: Peer) -> Reached:
    """All of a file that can change: the coordinator's endpoint is in it for everybody."""
    found: Reached = {o.id: (o.name, str(o.ip), o.public_key) for o in view.visible_to(peer) if o.id != peer.id}
    name, ip, key = found[COORDINATOR]
    return found | {COORDINATOR: (name, f"{ip} {view.network.coordinator.endpoint}", key)}

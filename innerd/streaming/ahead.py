"""Peers that have seen more of the log than there is: it was rewound, or it is shown to them by somebody else too."""

import structlog

from innerd.domain.network import Network, Peer
from innerd.wire.stream import Cursor

_log = structlog.get_logger("hub")


class Ahead:
    def __init__(self) -> None:
        self.cursors: dict[int, Cursor] = {}  # by peer: what each said that it has seen, when it came last
        self.count = 0  # how many streams began so

    def note(self, peer: Peer, cursor: Cursor | None, network: Network) -> None:
        """A stream is opened with a cursor. What it claims proves nothing (a peer can say what it likes), so it is said
        and changes nothing; once, until the peer comes with another one that is not ahead."""
        seen = None if cursor is None else (cursor.generation, cursor.revision)
        if cursor is None or seen is None or seen <= (network.generation, network.revision):
            self.cursors.pop(peer.id, None)
            return
        self.count += 1
        if peer.id not in self.cursors:
            found = f"{network.generation}.{network.revision}"
            _log.error("a peer has seen more than the log holds", peer=peer.name, seen=str(cursor), log=found)
        self.cursors[peer.id] = cursor

    def forget(self, peer: int) -> None:
        self.cursors.pop(peer, None)

"""The signed checkpoint of the log's head that streams are told."""

from collections.abc import Callable

from innerd.coordinator.writer import Writer
from innerd.wire.checkpoint import Checkpoint, sign
from innerd.wire.note import Signer

_REST = 1.0  # seconds between two signatures at least


class Checkpoints:
    """Made when asked for: once a revision, and once a second at most, however many ask. `signer` None: never."""

    def __init__(self, writer: Writer, signer: Signer | None, clock: Callable[[], float]) -> None:
        self.signed = 0  # signatures so far
        self._writer, self._signer, self._clock = writer, signer, clock
        self._last: tuple[Checkpoint, str, float] | None = None

    @property
    def key(self) -> str | None:
        """The verifier key."""
        return None if self._signer is None else str(self._signer.verifier)

    def newest(self) -> str | None:
        """The note of the head, or of one up to a second ago."""
        if self._signer is None:
            return None
        network, now = self._writer.network, self._clock()
        head = Checkpoint(network.id, network.generation, network.revision, self._writer.head_hash)
        if self._last is not None and (self._last[0] == head or abs(now - self._last[2]) < _REST):
            return self._last[1]
        note = sign(self._signer, head)
        self.signed += 1
        self._last = head, note, now
        return note

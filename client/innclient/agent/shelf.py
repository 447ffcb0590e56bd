"""What an agent writes down, on a disk that may refuse."""

import threading
from collections.abc import Callable

import msgspec
import structlog

from innclient.agent import store
from innclient.agent.ledger import Ledger
from innclient.core.netmap import Netmap
from innclient.core.pins import Pins
from innclient.core.witness import Witnessed
from innclient.paths import Paths
from innerd.host import files

_log = structlog.get_logger("agent")


class Shelf:
    """Netmap and pins on disk. A disk that is full or read-only is no reason to stop: `broken` says why something
    could not be written, and `retry` tries it again."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._netmap, self._pins = Ledger(paths.netmap), Ledger(paths.pins)
        self._saved: Netmap | None = None  # what the file says
        self._pinned: Pins | None = None
        self._lock = threading.Lock()  # a retry must not overtake what is newer
        self._unsaved: dict[str, Callable[[], None]] = {}
        self._broken: dict[str, str] = {}

    @property
    def broken(self) -> str | None:
        return next(iter(self._broken.values()), None)

    def save_netmap(
        self, netmap: Netmap, now: float, before: Netmap | None = None, peers: set[int] | None = None
    ) -> bool:
        """Whether it is written. `peers`: which may be others than `before` (None: all)."""

        def save() -> None:
            saved, self._saved = self._saved, None
            if peers is None or saved is None or saved is not before:
                self._netmap.write(store.netmap_document(netmap, now))
            else:
                change = store.netmap_change(saved, netmap, peers, now)
                self._netmap.append(change, lambda: store.netmap_document(netmap, now))
            files.write_atomically(self._paths.head, store.head_document(netmap))
            self._saved = netmap

        self._try("netmap", save)
        return "netmap" not in self._broken

    def save_last(self, last: store.Last) -> None:
        self._try("last", lambda: files.write_atomically(self._paths.last, msgspec.json.encode(last)))

    def save_pins(self, pins: Pins) -> None:
        def save() -> None:
            pinned, self._pinned = self._pinned, None
            if pinned is None:
                self._pins.write(store.pins_document(pins))
            else:
                self._pins.append(store.pins_change(pinned, pins), lambda: store.pins_document(pins))
            self._pinned = pins

        self._try("pins", save)

    def close(self) -> None:
        """What is kept for ever is left as one document, which every release can read."""
        if self._pinned is not None and self._pins.has_changes:
            pinned, self._pinned = self._pinned, None
            self.save_pins(pinned)

    def save_witnessed(self, witnessed: Witnessed) -> None:
        self._try("checkpoints", lambda: store.save_witnessed(self._paths, witnessed))

    def retry(self) -> bool:
        """Whether everything is written now."""
        for what in list(self._unsaved):
            self._try(what)
        return not self._broken

    def _try(self, what: str, save: Callable[[], None] | None = None) -> None:
        """Write something, or what of it could not be written before."""
        with self._lock:
            chosen = save or self._unsaved.get(what)
            if chosen is not None:
                self._write(what, chosen)

    def _write(self, what: str, save: Callable[[], None]) -> None:
        try:
            save()
        except OSError as error:
            why = f"{self._paths.data}: {error.strerror or error}"
            if self._broken.get(what) != why:
                _log.error("can't be written: kept in memory, and tried again", what=what, why=why)
            self._unsaved[what], self._broken[what] = save, why
        else:
            self._unsaved.pop(what, None)
            self._broken.pop(what, None)

"""The head of the log, remembered outside of it: `<network>.head` beside the database.

A database that lost its write-ahead log, or that somebody put back, holds a log that fits: only who remembers more can
tell. The file says what the log held at least: network, generation, revision and chain hash, and what the clock was.

It is written after the commit, so it is never ahead of what was acknowledged; at most once a second (one sync a second
under load, none when nothing changes) and when the log is closed. So it may be a second behind: what was lost of the
last second alone is not noticed. It is replaced whole, so that a power cut leaves the one before. One that is not there
or can't be read is no alarm: it is written anew.
"""

import asyncio
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from innerd.config import Paths
from innerd.coordinator.feed import Committed
from innerd.coordinator.writer import Writer
from innerd.failure import TRUST, Failure
from innerd.host import files
from innerd.serve.clock import Clock, boot_id

_log = structlog.get_logger("innerd")

_PAUSE = 1.0  # seconds between two writes


class Head(Struct, frozen=True, kw_only=True):
    network: str  # its id
    generation: int
    revision: int
    chain: str  # hex
    boot: str = ""  # the host's boot in which it was written
    epoch: float = 0.0  # when that boot was, by the clock as it was then: seconds since 1970


def path_of(database: Path) -> Path:
    return database.with_suffix(".head")


def head_of(writer: Writer) -> Head:
    """What is committed."""
    network = writer.network
    return Head(network=network.id, generation=network.generation, revision=network.revision, chain=writer.head_hash)


def read(database: Path) -> Head | None:
    """What is remembered of a log; None where nothing is."""
    path = path_of(database)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("the remembered head of the log can't be read: it is written anew", path=str(path), why=str(error))
        return None


def remembered(database: Path) -> tuple[int, str] | None:
    """The revision and the chain hash that are remembered of a log."""
    head = read(database)
    return None if head is None else (head.revision, head.chain)


def epoch_of(database: Path) -> float | None:
    """The time of this boot, as it was known when the head was written in it."""
    head = read(database)
    return head.epoch if head is not None and head.boot and head.boot == boot_id() else None


def write(database: Path, head: Head) -> None:
    """Remember a head that is committed. Raises OSError."""
    files.write_atomically(path_of(database), msgspec.json.encode(head) + b"\n")


async def check(paths: Paths, writer: Writer) -> None:
    """Whether the log holds what is remembered of it. Raises Failure (7)."""
    known, network = read(paths.database), writer.network
    if known is None or (known.network == network.id and known.generation < network.generation):
        return
    way_out = (
        f"restore your newest backup. To go on with what is left: innerd backup {paths.network} LEFT, move"
        f" {paths.database}* and {paths.config} aside, innerd restore LEFT"
    )
    if known.network != network.id:
        what = f"the log in {paths.database} is another network's than the one that was here"
        raise Failure(TRUST, "log_forked", what, way_out)
    if (known.generation, known.revision) > (network.generation, network.revision):
        seen, found = (f"{g}.{r}" for g, r in ((known.generation, known.revision), cursor_of(writer)))
        what = f"the log of {paths.network} was rewound: it ends at {found}, but {seen} was written"
        raise Failure(TRUST, "log_rewound", what, way_out)
    async for page in writer.store.read(known.revision - 1, 1):
        if page[0].chain.hex() != known.chain:
            what = f"the log of {paths.network} is another one than was written: it differs at or before event"
            raise Failure(TRUST, "log_forked", f"{what} {known.revision}", way_out)
        return


def cursor_of(writer: Writer) -> tuple[int, int]:
    return writer.network.generation, writer.network.revision


class Keeper:
    """Remembers the head of a log that is open."""

    def __init__(self, database: Path, writer: Writer, clock: Clock) -> None:
        self._database, self._writer, self._clock = database, writer, clock
        self._written = read(database)
        self._stirred = asyncio.Event()
        self._is_said = False

    def follow(self, change: Committed) -> None:
        """A follower of the feed."""
        self._stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            await self.write()
            await asyncio.sleep(_PAUSE)

    async def write(self) -> None:
        """Remember what is committed by now. A disk that can't is no reason to stop."""
        head = msgspec.structs.replace(head_of(self._writer), boot=boot_id(), epoch=self._clock.epoch)
        if head == self._written:
            return
        try:
            await asyncio.to_thread(write, self._database, head)
            self._written, self._is_said = head, False
        except OSError as error:
            if not self._is_said:
                _log.warning("the head of the log can't be remembered", path=str(self._database), why=error.strerror)
            self._is_said = True

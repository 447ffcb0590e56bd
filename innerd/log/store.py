"""What a store of records can do: the protocol that SQLite and memory implement, and one contract suite tests.

Bytes in, bytes out. Encoding, hashing, deciding and gathering many commands into one append happen above.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from innerd.log.projection import Rows, Tables

Fault = Literal["full", "read_only", "io", "locked", "permission", "corrupt", "not_a_database", "tampered", "other"]

# What each kind of trouble is, and what helps. Whatever stores the log sorts its own errors into these.
FAULTS: dict[Fault, tuple[str, str]] = {
    "full": ("there is no room left on its disk", "make room there; nothing has to be started again"),
    "read_only": ("it can't be written to: it, its folder or its file system is read-only", "mount it read-write"),
    "io": ("its disk failed to read or write (I/O error)", "see to the disk: dmesg, smartctl; then restore a backup"),
    "locked": ("another program holds a lock on it", "end that program: fuser -v FILE names it"),
    "permission": ("it can't be opened", "is it a file, and may root open it? see ls -l, and the journal for AppArmor"),
    "corrupt": (
        "it is damaged",
        "innerd verify NETWORK says what; where the events are whole, innerd rebuild NETWORK makes the rest anew,"
        " else restore a backup",
    ),
    "not_a_database": ("it is no log of innerd", "is it the right file? else restore a backup"),
    "tampered": ("it is not what was written", "innerd verify NETWORK says where; restore a backup from before"),
    "other": ("it can't be used", "see the log of the coordinator"),
}


class StoreError(Exception):
    """The store could not do it and nothing was stored. `fault` is the kind of trouble, `hint` what helps."""

    def __init__(self, message: str, fault: Fault = "other") -> None:
        super().__init__(message)
        self.fault: Fault = fault

    @property
    def hint(self) -> str:
        return FAULTS[self.fault][1]

    @property
    def is_damage(self) -> bool:
        """Whether trying again can't help."""
        return self.fault in ("corrupt", "not_a_database", "tampered")


class StoreUncertain(Exception):
    """Nobody knows whether the commit happened. The process must end and replay decides."""


class StoreNewer(Exception):
    """A newer release wrote the log: nothing was touched."""


class StoreCorrupt(StoreError):
    """What is stored can't be what was stored: a damaged page, a broken chain, a gap, another application's file."""

    def __init__(self, message: str, fault: Fault = "tampered") -> None:
        super().__init__(message, fault)


class Stored(Struct, frozen=True, gc=False):
    """One record with its place in the log."""

    seq: int
    record: bytes
    salt: bytes
    chain: bytes


class KeptAnswer(Struct, frozen=True, gc=False):
    """The answer that a command under an id got. `digest` is of what was asked."""

    actor: str
    id: str
    digest: bytes
    status: int
    result: bytes
    at: int


class Seen(Struct, frozen=True, gc=False):
    """What was seen of a peer last, which is no event: where, when (seconds since 1970), whether it has proved its key,
    its last receipt, and what it says that it runs."""

    peer: int
    endpoint: str | None = None
    handshake: float | None = None
    is_proven: bool = False
    applied: int | None = None
    applied_at: float | None = None
    software: str | None = None


class Query(Struct, frozen=True, kw_only=True):
    """Which records: all conditions together. `after` is exclusive, `upto` inclusive; times are as records hold them,
    inclusive; `type` is a prefix, or some of which any; of `actors` any; `newest` takes the last instead of the first
    ones."""

    after: int = 0
    upto: int | None = None
    since: str | None = None
    until: str | None = None
    type: str | tuple[str, ...] = ""
    subject: str | None = None
    actors: tuple[str, ...] = ()
    newest: bool = False


class Store(Protocol):
    """An append-only store. `append` is all or nothing and durable when it returns."""

    async def append(self, batch: Sequence[Stored], rows: Rows, answers: Sequence[KeptAnswer]) -> None:
        """Raises StoreError (nothing happened) or StoreUncertain. The batch goes on where the log ends."""
        ...

    def read(self, after: int = 0, limit: int = 10_000) -> AsyncIterator[list[Stored]]:
        """The records after a sequence number, in order, in pages of at most `limit`."""
        ...

    async def find(self, query: Query, limit: int) -> list[Stored]:
        """At most `limit` records that a query asks for, in order."""
        ...

    async def answer(self, actor: str, id: str) -> KeptAnswer | None: ...  # noqa: A002

    async def forget_answers(self, before: int) -> None:
        """Forget the answers given before a time (seconds since 1970)."""
        ...

    async def seen(self) -> list[Seen]:
        """What is remembered of peers, by their numbers."""
        ...

    async def remember(self, seen: Sequence[Seen], gone: Collection[int] = ()) -> None:
        """Remember what was seen of some peers, and forget others. It touches nothing of the log. Raises StoreError."""
        ...

    async def probe(self, *, write: bool = True) -> None:
        """Try whether writing works; without `write` only whether it might begin, and nothing goes to the disk. Raises
        StoreError."""
        ...

    async def damage(self) -> str | None:
        """Look at all that is stored, every page of it: what is wrong with the first that is damaged."""
        ...

    async def rows(self) -> Tables:
        """The read models as they are stored."""
        ...

    async def replace_rows(self, rows: Rows) -> None:
        """Empty the read models and write these rows."""
        ...

    async def renew(self, rows: Rows) -> None:
        """Make all that is stored anew: of the records alone, byte for byte and their chain checked, and of these rows.
        For a store that is damaged elsewhere. Raises StoreCorrupt where the records are."""
        ...

    def size(self) -> tuple[int, int]:
        """Bytes of the database and of its write-ahead log."""
        ...

    async def close(self) -> None: ...

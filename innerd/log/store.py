"""What a store of records can do: the protocol that SQLite and memory implement, and one contract suite tests.

Bytes in, bytes out. Encoding, hashing, deciding and gathering many commands into one append happen above.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from innerd.log.projection import Rows, Tables


class StoreError(Exception):
    """The store could not do it and nothing was stored (disk full, I/O error)."""


class StoreUncertain(Exception):
    """Nobody knows whether the commit happened. The process must end and replay decides."""


class StoreNewer(Exception):
    """A newer release wrote the log: nothing was touched."""


class StoreCorrupt(Exception):
    """What is stored can't be what was stored: a broken chain, a gap, another application's file."""


class Stored(Struct, frozen=True, gc=False):
    """One record with its place in the log."""

    seq: int
    record: bytes
    salt: bytes
    chain: bytes


class Answer(Struct, frozen=True, gc=False):
    """The answer that a command under an id got. `digest` is of what was asked."""

    actor: str
    id: str
    digest: bytes
    status: int
    result: bytes
    at: int


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

    async def append(self, batch: Sequence[Stored], rows: Rows, answers: Sequence[Answer]) -> None:
        """Raises StoreError (nothing happened) or StoreUncertain. The batch goes on where the log ends."""
        ...

    def read(self, after: int = 0, limit: int = 10_000) -> AsyncIterator[list[Stored]]:
        """The records after a sequence number, in order, in pages of at most `limit`."""
        ...

    async def find(self, query: Query, limit: int) -> list[Stored]:
        """At most `limit` records that a query asks for, in order."""
        ...

    async def answer(self, actor: str, id: str) -> Answer | None: ...  # noqa: A002

    async def forget_answers(self, before: int) -> None:
        """Forget the answers given before a time (seconds since 1970)."""
        ...

    async def probe(self) -> None:
        """Try whether writing works again. Raises StoreError."""
        ...

    async def rows(self) -> Tables:
        """The read models as they are stored."""
        ...

    async def replace_rows(self, rows: Rows) -> None:
        """Empty the read models and write these rows."""
        ...

    def size(self) -> tuple[int, int]:
        """Bytes of the database and of its write-ahead log."""
        ...

    async def close(self) -> None: ...

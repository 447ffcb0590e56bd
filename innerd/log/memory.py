"""A store in memory: a real implementation under the same contract suite, for tests and simulations."""

from collections.abc import AsyncIterator, Collection, Sequence

from innerd.log.codec import envelope
from innerd.log.projection import Rows, Tables, no_tables, put
from innerd.log.store import KeptAnswer, Query, Seen, Stored, StoreError


class MemoryStore:
    def __init__(self) -> None:
        self.records: list[Stored] = []
        self.tables = no_tables()
        self.answers: dict[tuple[str, str], KeptAnswer] = {}
        self.sights: dict[int, Seen] = {}
        self.broken: StoreError | None = None  # set by a test: the disk is full from here on
        self.damaged: str | None = None  # set by a test: a page that no record lies on

    async def append(self, batch: Sequence[Stored], rows: Rows, answers: Sequence[KeptAnswer]) -> None:
        if self.broken is not None:
            raise self.broken
        for expected, stored in enumerate(batch, len(self.records) + 1):
            if stored.seq != expected:
                raise StoreError(f"append at {stored.seq}, but the log goes on at {expected}")
        self.records.extend(batch)
        put(self.tables, rows)
        self.answers.update({(a.actor, a.id): a for a in answers})

    async def read(self, after: int = 0, limit: int = 10_000) -> AsyncIterator[list[Stored]]:
        while page := self.records[after : after + limit]:
            yield page
            after += len(page)

    async def find(self, query: Query, limit: int) -> list[Stored]:
        found = [stored for stored in self.records if _matches(stored, query)]
        return found[-limit:] if query.newest else found[:limit]

    async def answer(self, actor: str, id: str) -> KeptAnswer | None:  # noqa: A002
        return self.answers.get((actor, id))

    async def forget_answers(self, before: int) -> None:
        self.answers = {key: answer for key, answer in self.answers.items() if answer.at >= before}

    async def seen(self) -> list[Seen]:
        return [self.sights[number] for number in sorted(self.sights)]

    async def remember(self, seen: Sequence[Seen], gone: Collection[int] = ()) -> None:
        if self.broken is not None:
            raise self.broken
        self.sights |= {each.peer: each for each in seen}
        for number in gone:
            self.sights.pop(number, None)

    async def probe(self, *, write: bool = True) -> None:
        if self.broken is not None:
            raise self.broken

    async def damage(self) -> str | None:
        return self.damaged

    async def replace_rows(self, rows: Rows) -> None:
        self.tables = no_tables()
        put(self.tables, rows)

    async def renew(self, rows: Rows) -> None:
        await self.replace_rows(rows)
        self.broken = self.damaged = None

    async def rows(self) -> Tables:
        return {table: dict(held) for table, held in self.tables.items()}

    def size(self) -> tuple[int, int]:
        return sum(len(stored.record) for stored in self.records), 0

    async def close(self) -> None:
        """Nothing to let go of."""


def _matches(stored: Stored, query: Query) -> bool:
    read = envelope(stored.record)
    return (
        query.after < stored.seq
        and (query.upto is None or stored.seq <= query.upto)
        and (query.since is None or read.at >= query.since)
        and (query.until is None or read.at <= query.until)
        and read.type.startswith(query.type)
        and query.subject in (None, read.subject)
        and (not query.actors or read.actor in query.actors)
    )

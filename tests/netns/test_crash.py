"""The real coordinator, killed at random moments: what it acknowledged is there, and nothing is done twice."""

import asyncio
import random
import time
from pathlib import Path

import httpx2
import pytest

from innerd.log.codec import timestamp
from innerd.log.verify import verify_file
from tests.netns import crashing, steps
from tests.netns.crashing import Person
from tests.netns.lab import Host, Lab
from tests.netns.steps import NETWORK

PEOPLE = 8


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / f"{NETWORK}.db"


@pytest.fixture
def host(empty_lab: Lab, tmp_path: Path) -> Host:
    """A network with the CIDR humans (id 3), which nobody serves yet."""
    made = empty_lab.host("coordinator")
    crashing.shared(made, tmp_path)
    steps.found(made, "10.42.0.0/16")
    made.run("innerd", "add-cidr", NETWORK, "--name", "humans", "--cidr", "10.42.128.0/17", "--parent", NETWORK)
    return made


@pytest.fixture
def seed() -> int:
    """Of all that is random in a test; it stands in what a failing one prints."""
    made = random.SystemRandom().randrange(10**6)
    print(f"seed {made}")
    return made


class Told:
    """All that people heard before a kill, held against what is there after it."""

    def __init__(self, database: Path, people: list[Person], chance: random.Random) -> None:
        self.database, self.people, self.chance = database, people, chance
        self.remembered = crashing.head(self.database)

    async def holds(self, http: httpx2.AsyncClient, said: str) -> int:
        """Check all of it; how many commands were acknowledged."""
        acknowledged = [asked for person in self.people for asked in person.acknowledged]
        self.in_the_log(said)
        await self.unanswered_again(http, said)
        await self.acknowledged_again(http, said)
        assert await crashing.found_there(http) == crashing.expected(self.people), said
        assert (await http.post("/v1/admin/rebuild")).json()["differing"] == 0, said
        verified = verify_file(self.database, self.remembered)
        assert (verified.events, verified.head) == crashing.head(self.database), said
        self.remembered = crashing.head(self.database)
        for person in self.people:
            person.acknowledged.clear()
        return len(acknowledged)

    def in_the_log(self, said: str) -> None:
        """Every acknowledged command by its key, at the revision that it was told; none half."""
        found = crashing.records(self.database, self.remembered[0])
        assert crashing.twice(found) == [], said
        places = crashing.places(found)
        for person in self.people:
            for asked in person.acknowledged:
                assert places.pop(asked.key, []) == [asked.revision] * asked.events, (said, asked.path, asked.body)
        open_ = {person.unanswered.key for person in self.people if person.unanswered is not None}
        assert places.keys() <= open_ | {None}, (said, "events that nobody asked for")

    async def unanswered_again(self, http: httpx2.AsyncClient, said: str) -> None:
        """Nobody knows whether these happened: asked again under their keys, they have happened once."""
        for person in self.people:
            asked = person.unanswered
            if asked is not None:
                person.heard(asked, await asked.send(http))
                found = crashing.records(self.database, self.remembered[0])
                assert len(crashing.places(found).get(asked.key, [])) == asked.events, (said, asked.path, asked.body)

    async def acknowledged_again(self, http: httpx2.AsyncClient, said: str) -> None:
        head = crashing.head(self.database)
        for person in self.people:
            known = [asked for asked in person.acknowledged if asked.events]  # of what was so already nothing is kept
            if not known:
                continue
            for asked in {asked.key: asked for asked in [*known[-2:], *self.chance.choices(known, k=2)]}.values():
                again = await asked.send(http)
                assert (again.status_code, again.content) == (asked.status, asked.answer), (said, asked.path)
                other = await asked.send(http, {**asked.body, "name": "another"})
                assert b'"idempotency_mismatch"' in other.content, (said, other.status_code)
        assert crashing.head(self.database) == head, (said, "a repeated command was carried out")


async def killed_while_written(host: Host, database: Path, seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    people = [Person(number, chance) for number in range(PEOPLE)]
    told, process, count = Told(database, people, chance), steps.serve(host), 0
    for number in range(rounds):
        async with crashing.socket(host) as http:
            await crashing.until_killed(http, people, process, chance.randint(PEOPLE, 10 * PEOPLE))
        process = steps.serve(host)
        async with crashing.socket(host) as http:
            count += await told.holds(http, f"seed {seed}, round {number}")
    crashing.kill(process)
    assert count > rounds * PEOPLE, f"seed {seed}: too few were acknowledged to show anything"
    assert "Traceback" not in steps.said(host, "innerd.log"), seed


async def test_what_was_acknowledged_outlives_kills_and_is_done_once(host: Host, database: Path, seed: int) -> None:
    await killed_while_written(host, database, seed, 20)


@pytest.mark.slow
@pytest.mark.parametrize("network", range(10))  # each a fresh one: what is checked every round grows with the log
async def test_what_was_acknowledged_outlives_two_hundred_kills(
    host: Host, database: Path, seed: int, network: int
) -> None:
    await killed_while_written(host, database, seed, 20)


async def test_a_kill_while_it_starts_changes_nothing(host: Host, database: Path, seed: int) -> None:
    chance = random.Random(seed)
    people = [Person(number, chance) for number in range(PEOPLE)]
    process = steps.serve(host)
    async with crashing.socket(host) as http:  # a log to replay, in a WAL that nobody has checkpointed
        await crashing.until_killed(http, people, process, 10 * PEOPLE)
    began = steps.said(host, "innerd.log").count("serves")
    for _ in range(8):
        process = crashing.begin(host)
        await asyncio.sleep(chance.uniform(0.1, 0.45))  # the moment of the kill is the point, not something waited for
        crashing.kill(process)
    served = steps.said(host, "innerd.log").count("serves") - began
    assert served < 8, f"seed {seed}: no start was cut short"
    process = steps.serve(host)
    told = {asked.key: [asked.revision] * asked.events for person in people for asked in person.acknowledged}
    places = crashing.places(crashing.records(database))
    assert {key: places.get(key, []) for key in told} == told, seed
    assert crashing.twice(crashing.records(database)) == [], seed
    assert verify_file(database).events == steps.revision(host), seed
    crashing.kill(process)
    crashing.serves_and_writes(host, "cats", "10.42.3.0/24")
    assert "Traceback" not in steps.said(host, "innerd.log"), seed


async def test_time_in_the_log_never_runs_backwards(host: Host, database: Path) -> None:
    """The clock stands an hour back after a restart: to the log that is one whose last record is an hour ahead."""
    ahead = timestamp(time.time() + 3600)
    cidr = {"id": 4, "name": "ovens", "range": "10.42.64.0/24", "parent": 1}
    crashing.append(database, "cidr.created", cidr, at=ahead)
    for number in range(2):  # and after one more restart too
        crashing.serves_and_writes(host, f"cats{number}", f"10.42.{number + 1}.0/24")
    times = [record["at"] for record in crashing.records(database)]
    assert times == sorted(times)
    assert times[-2:] == [ahead, ahead]

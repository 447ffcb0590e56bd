"""What each source costs, the room that it has, and whose turn it is, on a clock that is stepped."""

import asyncio

import pytest

from innerd.api.readings import MOST_KEPT, Readings
from innerd.api.sources import (
    ALL_RATE,
    BURST,
    HEAVY,
    LEAST_BURST,
    MOST_RUNNING,
    MOST_SEATS,
    MOST_UNPROVEN,
    RATE,
    Metered,
    Source,
    Sources,
    Visit,
    most_connections,
)
from innerd.api.turns import MOST_HEAVY, Heavy, Turns
from innerd.domain.errors import Refused
from tests.api.chairs import MARI, Chair

ROOT = ("127.42.128.2", 700)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sources(clock: Clock) -> Sources:
    return Sources(clock)


# -- what it costs -------------------------------------------------------------------------------------------------


def test_time_forgives(sources: Sources, clock: Clock) -> None:
    source = sources.of(MARI)
    source.charge(BURST)
    clock.now += 2
    assert source.cost == pytest.approx(BURST - 2 * RATE)
    clock.now += 1000
    assert source.cost == 0


async def test_past_its_budget_a_source_is_refused_until_time_has_forgiven(sources: Sources, clock: Clock) -> None:
    source = sources.of(MARI)
    source.charge(BURST)
    source.require_budget()
    source.charge(0.1)
    with pytest.raises(Refused, match="too often") as refused:
        source.require_budget()
    assert refused.value.hint == f"wait {0.1 / RATE:.1f} seconds"
    clock.now += 0.1 / RATE + 0.001
    source.require_budget()


def test_what_it_owes_is_bounded(sources: Sources, clock: Clock) -> None:
    """Else one bad minute would shut an honest peer out for an hour."""
    source = sources.of(MARI)
    for _ in range(1000):
        source.charge(1.0)
    clock.now += BURST / RATE + 0.001
    source.require_budget()


def test_root_of_a_machine_is_counted_apart_from_its_other_users(sources: Sources) -> None:
    sources.of(MARI).charge(2 * BURST)
    assert sources.of(ROOT).cost == 0
    assert sources.of((MARI[0], 50_000)) is sources.of(MARI)
    assert sources.of((ROOT[0], 1023)) is sources.of(ROOT)


def test_a_request_of_an_administrator_costs_nothing_after_all(sources: Sources) -> None:
    source = sources.of(MARI)
    source.charge(0.5)
    visit = Visit(source)
    visit.charge(0.2)
    visit.excuse()
    visit.charge(0.2)
    assert source.cost <= 0.5


async def test_only_the_steps_of_a_request_are_counted_and_not_its_waiting() -> None:
    spent: list[float] = []
    told = asyncio.Event()

    async def work() -> None:
        await told.wait()
        await asyncio.sleep(0)

    running = asyncio.ensure_future(_awaited(Metered(work(), spent.append)))
    await asyncio.sleep(0.05)
    told.set()
    await running
    assert len(spent) == 3
    assert sum(spent) < 0.05


async def test_a_metered_request_can_be_cancelled_and_fails_as_its_work_does() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    task = asyncio.ensure_future(_awaited(Metered(waits(), lambda seconds: None)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cleaned up"]

    async def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await Metered(fails(), lambda seconds: None)


async def _awaited(metered: Metered) -> None:
    await metered


# -- how much at once ----------------------------------------------------------------------------------------------


def visits(source: Source, number: int) -> list[Visit]:
    return [Visit(source) for _ in range(number)]


def test_while_a_few_are_in_progress_its_connections_are_not_read(sources: Sources) -> None:
    chairs = [Chair(sources) for _ in range(6)]
    source = sources.of(MARI)
    running = visits(source, MOST_RUNNING - 1)
    assert not any(chair.is_held for chair in chairs)
    running += visits(source, 1)
    assert all(chair.is_held for chair in chairs)
    running[0].leave()
    assert not any(chair.is_held for chair in chairs), "nothing lies on them, so they may be read"


def test_as_many_on_which_something_lies_are_read_again_as_there_is_room_for(sources: Sources) -> None:
    chairs, source = [Chair(sources) for _ in range(6)], sources.of(MARI)
    running = visits(source, MOST_RUNNING)
    for chair in chairs[1:]:
        chair.has_sent = True
    running[0].leave()
    assert [chair.is_held for chair in chairs] == [True, False, True, True, True, True]
    assert chairs[1].is_due
    assert (source.due, source.is_held) == (1, True)
    source.no_longer_due()  # it was parsed, and no request began with it
    assert [chair.is_held for chair in chairs] == [True, False, False, True, True, True]
    for visit in running[1:]:
        visit.leave()
    assert [chair.is_held for chair in chairs] == [True, *[False] * 5], "the silent one may speak when there is room"
    assert (source.due, source.is_held) == (MOST_RUNNING, True)
    source.no_longer_due()
    assert not any(chair.is_held for chair in chairs)


async def test_who_rests_has_room_for_nothing(sources: Sources, clock: Clock) -> None:
    chair, source = Chair(sources), sources.of(MARI)
    source.rest(0.01)
    running = visits(source, 1)
    running[0].leave()
    assert chair.is_held
    await asyncio.sleep(0.02)
    assert not chair.is_held, "though by this clock, which is behind the loop's, it is not time yet"


async def test_who_rests_again_rests_as_long_as_was_said_last(sources: Sources) -> None:
    chair, source = Chair(sources), sources.of(MARI)
    source.rest(0.01)
    source.rest(3600.0)
    await asyncio.sleep(0.02)
    assert chair.is_held


def test_who_only_waits_is_not_counted_and_leaves_once(sources: Sources) -> None:
    source = sources.of(MARI)
    first = Visit(source)
    first.leave()
    first.leave()
    assert source.running == 0


async def test_a_connection_that_comes_meanwhile_is_not_read_either(sources: Sources) -> None:
    running = visits(sources.of(MARI), MOST_RUNNING)
    chairs = [Chair(sources), Chair(sources, ROOT)]
    assert [chair.is_held for chair in chairs] == [True, False], "root's is another source"
    assert running


async def test_who_goes_on_asking_past_its_budget_is_not_read_for_a_moment(sources: Sources, clock: Clock) -> None:
    chair = Chair(sources)
    source = sources.of(MARI)
    source.charge(2 * BURST)
    with pytest.raises(Refused):
        source.require_budget()
    assert chair.is_held
    clock.now += 1.1
    source.settle()
    assert not chair.is_held


# -- room ----------------------------------------------------------------------------------------------------------


def test_so_many_that_have_proved_nothing_and_so_many_in_all(sources: Sources) -> None:
    chairs = [Chair(sources) for _ in range(MOST_UNPROVEN + 3)]
    assert [chair.source is not None for chair in chairs] == [True] * MOST_UNPROVEN + [False] * 3
    for chair in chairs[:MOST_UNPROVEN]:
        chair.is_proven = True
    more = [Chair(sources) for _ in range(MOST_SEATS)]
    assert sum(chair.source is not None for chair in more) == MOST_SEATS - MOST_UNPROVEN


def test_others_on_a_machine_take_no_room_of_roots(sources: Sources) -> None:
    for _ in range(MOST_SEATS):
        Chair(sources)
    assert Chair(sources, ROOT).source is not None


def test_of_roots_the_oldest_that_proved_nothing_gives_way(sources: Sources) -> None:
    """A container behind a peer may have low ports too: it can't keep the agent out."""
    chairs = [Chair(sources, ROOT) for _ in range(MOST_UNPROVEN)]
    chairs[0].is_proven = True
    Chair(sources, ROOT)
    newest = Chair(sources, ROOT)
    assert newest.source is not None
    assert (chairs[0].is_dropped, chairs[1].is_dropped) == (False, True)
    more = [Chair(sources, ROOT) for _ in range(3 * MOST_SEATS)]
    assert len(sources.of(ROOT).seats) == 2 * MOST_SEATS, "who was dropped makes room once, and is not gone yet"
    assert more


def test_a_connection_that_ends_makes_room(sources: Sources) -> None:
    chairs = [Chair(sources) for _ in range(MOST_UNPROVEN)]
    assert chairs[3].source is not None
    sources.unseat(chairs[3], chairs[3].source)
    assert sources.seats == MOST_UNPROVEN - 1
    assert Chair(sources).source is not None


def test_when_files_become_few_who_holds_many_gets_no_more(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("innerd.api.sources.most_connections", lambda: 40)
    for host in ("127.42.9.1", "127.42.9.2"):
        for _ in range(MOST_UNPROVEN):
            Chair(sources, (host, 5000))
    assert sources.seats <= 46, "the rest of the files stays free"
    assert Chair(sources, MARI).source is not None
    assert Chair(sources, ("127.42.9.1", 5000)).source is None


def test_most_connections_leave_files_for_the_rest() -> None:
    assert most_connections() > 0


def test_sources_without_debts_are_forgotten(sources: Sources, clock: Clock) -> None:
    for number in range(5000):
        sources.of((f"fd00::{number:x}", 5000)).charge(0.001)
        clock.now += 1
    assert len(sources._sources) < 4200  # nothing outside tells how many are remembered


# -- turns ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def order() -> list[str]:
    return []


async def test_who_has_cost_least_begins_first(sources: Sources, order: list[str]) -> None:
    turns = Turns()
    cheap, dear = sources.of(MARI), sources.of(("127.42.9.9", 5000))
    dear.charge(0.5)

    async def ask(name: str, source: Source) -> None:
        await turns.take(Visit(source))
        order.append(name)

    asked = [asyncio.ensure_future(ask(f"dear {n}", dear)) for n in range(3)]
    asked += [asyncio.ensure_future(ask(f"cheap {n}", cheap)) for n in range(2)]
    await asyncio.gather(*asked)
    assert order == ["dear 0", "cheap 0", "cheap 1", "dear 1", "dear 2"], "the first found nobody waiting"


async def test_one_begins_in_a_turn_of_the_loop(sources: Sources) -> None:
    turns, begun = Turns(), 0

    async def ask() -> None:
        nonlocal begun
        await turns.take(Visit(sources.of(MARI)))
        begun += 1

    asked = [asyncio.ensure_future(ask()) for _ in range(10)]
    seen = []
    while begun < 10:
        before = begun
        await asyncio.sleep(0)
        seen.append(begun - before)
    assert max(seen) == 1
    await asyncio.gather(*asked)


async def test_who_goes_away_waiting_keeps_nobody_waiting(sources: Sources, order: list[str]) -> None:
    turns, source = Turns(), sources.of(MARI)

    async def ask(name: str) -> None:
        await turns.take(Visit(source))
        order.append(name)

    asked = [asyncio.ensure_future(ask(name)) for name in "abc"]
    await asyncio.sleep(0)
    asked[1].cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert order == ["a", "c"]
    await turns.take(Visit(source))


# -- who is heavy --------------------------------------------------------------------------------------------------


def test_many_who_are_heavy_share_what_is_there(sources: Sources, clock: Clock) -> None:
    for number in range(50):
        sources.of((f"127.42.9.{number}", 5000)).charge(10 * HEAVY)
    clock.now += 0.3
    sources.of(MARI).charge(0.0)
    assert sources.burst == LEAST_BURST
    assert sources.rate == ALL_RATE / 50
    clock.now += 1000
    sources.of(MARI).charge(0.0)
    assert (sources.burst, sources.rate, sources.running) == (BURST, RATE, MOST_RUNNING)


async def test_few_of_the_heavy_are_in_progress_and_the_others_go_past(sources: Sources, order: list[str]) -> None:
    heavy, light = sources.of(("127.42.9.9", 5000)), sources.of(MARI)
    heavy.charge(5 * HEAVY)
    places, running = Heavy(), [Visit(heavy) for _ in range(MOST_HEAVY + 2)]

    async def ask(name: str, visit: Visit) -> None:
        await places.enter(visit)
        order.append(name)

    asked = [asyncio.ensure_future(ask("heavy", visit)) for visit in running]
    asked.append(asyncio.ensure_future(ask("light", Visit(light))))
    await asyncio.sleep(0)
    assert order == ["heavy"] * MOST_HEAVY + ["light"]
    running[0].leave()
    await asyncio.sleep(0)
    assert order.count("heavy") == MOST_HEAVY + 1
    asked[MOST_HEAVY + 1].cancel()
    for visit in running[1:]:
        visit.leave()
    await asyncio.gather(*asked, return_exceptions=True)
    assert places._running == 0


async def test_a_place_that_was_given_to_one_who_went_away_is_given_to_the_next(
    sources: Sources, order: list[str]
) -> None:
    heavy = sources.of(("127.42.9.9", 5000))
    heavy.charge(5 * HEAVY)
    places, running = Heavy(), [Visit(heavy) for _ in range(MOST_HEAVY + 3)]

    async def ask(name: str, visit: Visit) -> None:
        await places.enter(visit)
        order.append(name)

    asked = [asyncio.ensure_future(ask(str(number), visit)) for number, visit in enumerate(running)]
    await asyncio.sleep(0)
    running[MOST_HEAVY].abandon()  # its client is gone
    running[0].leave()
    asked[MOST_HEAVY + 1].cancel()  # in the very turn in which it was given the place
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order[MOST_HEAVY:] == [str(MOST_HEAVY), str(MOST_HEAVY + 2)]
    for task in asked:
        task.cancel()


async def test_what_an_administrator_proved_keeps_none_of_its_connections_waiting(sources: Sources) -> None:
    chair = Chair(sources)
    visits = [Visit(sources.of(MARI)) for _ in range(MOST_RUNNING)]
    assert chair.is_held
    visits[0].excuse()
    assert not chair.is_held
    assert sources.of(MARI).running == MOST_RUNNING - 1
    for visit in visits:
        visit.leave()
    assert sources.of(MARI).running == 0, "each has left once"


async def test_whose_last_request_is_longest_ago_goes_on_first(sources: Sources) -> None:
    chairs, source, order = [Chair(sources) for _ in range(3)], sources.of(MARI), list[Chair]()
    source.served(chairs[0])
    visits = [Visit(source) for _ in range(MOST_RUNNING)]
    for chair in chairs:
        chair.has_sent = True
    for visit in visits:
        visit.leave()
        order += [chair for chair in chairs if chair.is_due and chair not in order]
    assert order == [chairs[1], chairs[2], chairs[0]]


async def test_after_each_quarter_of_a_millisecond_that_is_spent_something_else_has_its_turn(clock: Clock) -> None:
    turns = list[float]()
    sources = Sources(clock, between=lambda: turns.append(clock.now))
    source = sources.of(MARI)
    for _ in range(30):
        source.charge(0.0004)
    assert len(turns) == 30
    visit = Visit(source)
    visit.excuse()  # an administrator's costs it nothing, and the others all the same
    before = len(turns)
    for _ in range(30):
        visit.charge(0.0004)
    assert len(turns) == before + 30


# -- what is parsed when -------------------------------------------------------------------------------------------


async def parsed(sources: Sources, *sent: tuple[str, float]) -> list[str]:
    """In which order what these sent is parsed, of whom each costs so many seconds after that."""
    readings, order, done = Readings(), list[str](), asyncio.Event()

    def parse(who: str) -> None:
        order.append(who)
        sources.of((who, 700)).charge(0.001)
        if len(order) == len(sent):
            done.set()

    for who, cost in sent:
        source = sources.of((who, 700))
        assert readings.enter(source, 1, lambda who=who: parse(who))
        source.charge(cost)
    await asyncio.wait_for(done.wait(), 5)
    return order


async def test_one_connection_of_each_source_is_parsed_after_the_other(sources: Sources) -> None:
    sent = [("a", 0.0), ("a", 0.0), ("a", 0.0), ("b", 0.0), ("c", 0.0), ("b", 0.0)]
    assert await parsed(sources, *sent) == ["a", "b", "c", "a", "b", "a"]


async def test_who_has_cost_much_meanwhile_is_parsed_last(sources: Sources) -> None:
    assert await parsed(sources, ("a", 1), ("a", 0), ("b", 0), ("b", 0)) == ["b", "b", "a", "a"]


async def test_root_of_an_administrators_machine_comes_first_unless_it_is_heavy(sources: Sources) -> None:
    sources.administrators = frozenset({"a"})
    assert await parsed(sources, ("b", 0), ("b", 0), ("a", 0), ("a", 0)) == ["a", "a", "b", "b"]
    assert await parsed(sources, ("b", 0), ("a", 1)) == ["b", "a"]


async def test_what_is_kept_of_all_is_bounded_and_one_connection_of_each_source_has_room(sources: Sources) -> None:
    readings, one, other = Readings(), sources.of(("a", 40_000)), sources.of(("b", 40_000))
    one.due = other.due = 1
    assert readings.enter(one, MOST_KEPT, lambda: None)
    assert readings.enter(other, 1, lambda: None)
    one.due = other.due = 2
    assert not readings.enter(one, 1, lambda: None)
    assert not readings.enter(other, 1, lambda: None)
    await asyncio.sleep(0.01)
    assert readings.enter(one, 1, lambda: None), "all was parsed"


async def test_one_that_can_not_be_parsed_keeps_no_other_from_it(sources: Sources) -> None:
    readings, done, said = Readings(), asyncio.Event(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, what: said.append(what["exception"]))

    def broken() -> None:
        raise ValueError("no HTTP")

    readings.enter(sources.of(MARI), 1, broken)
    readings.enter(sources.of(MARI), 1, done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert len(said) == 1


async def test_nothing_is_parsed_at_once_while_others_wait_for_it(sources: Sources) -> None:
    readings = Readings()
    assert readings.have_time()
    readings.enter(sources.of(MARI), 1, lambda: None)
    assert not readings.have_time()
    await asyncio.sleep(0.01)
    assert readings.have_time()

"""A clock that somebody sets: expiry goes by it at once and back, what can't be taken back waits, and it is said."""

import pytest

from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.domain.invitations import GRACE
from innerd.log.codec import Who, envelope
from innerd.serve.clock import BELIEVED, Clock
from innerd.serve.housekeeping import clean
from tests.coordinator.bench import asked
from tests.world import World, key, world

DAY, MONTH, HOUR = 86_400, 30 * 86_400, 3600


class Host:
    """A host's clocks, and the coordinator's on it."""

    def __init__(self, w: World) -> None:
        self.w, self.steady = w, 50.0
        self.clock = Clock(None, lambda: w.now, lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.w.now += seconds
        self.steady += seconds

    def is_set(self, seconds: float) -> None:
        self.w.now += seconds

    async def cleans(self) -> None:
        await clean(self.w.writer, self.clock)


@pytest.fixture
async def host() -> Host:
    w = await world()
    await w.add_cidr("humans", "127.42.128.0/17")
    await w.invite("ryo", "humans", expires=int(w.now) + 14 * DAY)
    made = Host(w)
    made.passes(2 * HOUR)
    return made


def there(w: World, name: str) -> bool:
    return w.writer.network.peer_named(name) is not None


async def test_a_jump_ahead_for_a_minute_ends_no_invitation_and_keeps_nobody_out(host: Host) -> None:
    w = host.w
    host.is_set(MONTH)
    await w.add_cidr("cats", "127.42.3.0/24")  # one event is written with that time
    await host.cleans()
    with pytest.raises(Refused, match="expired"):
        await w.do(c.Redeem(w.peer("ryo").id, key("ryo")))
    host.is_set(-MONTH)
    host.passes(60)
    await host.cleans()
    await w.do(c.Redeem(w.peer("ryo").id, key("ryo")), Who("peer:2"))
    await w.invite("mari", "humans", expires=int(w.now) + DAY)
    await w.do(c.Redeem(w.peer("mari").id, key("mari")))
    times = [envelope(stored.record).at for stored in w.store.records]
    assert times == sorted(times), "times never run backwards in the log"


async def test_nor_where_the_coordinator_was_started_anew_meanwhile(host: Host) -> None:
    w = host.w
    host.is_set(MONTH)
    await w.add_cidr("cats", "127.42.3.0/24")
    await w.start()
    host.clock = Clock(host.clock.epoch, lambda: w.now, lambda: host.steady)  # as the head's file remembers it
    host.passes(2 * HOUR)
    await host.cleans()
    assert there(w, "ryo")
    host.is_set(-MONTH)
    await w.do(c.Redeem(w.peer("ryo").id, key("ryo")))


async def test_a_time_that_holds_for_a_day_is_believed(host: Host) -> None:
    host.is_set(MONTH)
    assert "30 d ahead of" in (host.clock.trouble or "")
    host.passes(BELIEVED - 60)
    await host.cleans()
    assert there(host.w, "ryo")
    host.passes(120)
    assert host.clock.trouble is None
    await host.cleans()
    assert not there(host.w, "ryo")


async def test_a_clock_that_jumps_again_begins_another_day(host: Host) -> None:
    host.is_set(MONTH)
    assert host.clock.trouble
    host.passes(BELIEVED - 60)
    host.is_set(HOUR)
    host.passes(120)
    assert "30 d ahead of" in (host.clock.trouble or "")


async def test_invitations_end_by_a_clock_that_nobody_set(host: Host) -> None:
    host.passes(14 * DAY + GRACE)
    await host.cleans()
    assert not there(host.w, "ryo")


async def test_a_host_that_has_just_started_has_an_hour_to_set_its_clock(host: Host) -> None:
    w = host.w
    host.passes(20 * DAY)
    host.clock = Clock(None, lambda: w.now, lambda: host.steady)
    await host.cleans()
    assert there(w, "ryo")
    host.passes(HOUR)
    await host.cleans()
    assert not there(w, "ryo")


async def test_old_answers_are_not_forgotten_by_a_wrong_clock(host: Host) -> None:
    await host.w.writer.submit(c.RenameCidr(1, "root"), Who("local:root"), asked=asked("once"))  # type: ignore[arg-type]
    host.is_set(MONTH)
    await host.cleans()
    assert await host.w.store.answer("local:root", "once") is not None


@pytest.mark.parametrize("seconds", [-HOUR, -90, 90, HOUR])
def test_a_clock_that_is_set_is_said_in_both_directions(seconds: float) -> None:
    wall = [1000.0]
    clock = Clock(None, lambda: wall[0], lambda: 50.0)
    assert clock.trouble is None
    wall[0] += seconds
    assert ("ahead of" if seconds > 0 else "behind") in (clock.trouble or "")
    wall[0] -= seconds
    assert clock.trouble is None


def test_a_second_here_or_there_is_nothing() -> None:
    wall = [1000.0]
    clock = Clock(None, lambda: wall[0], lambda: 50.0)
    wall[0] += 30
    assert clock.trouble is None

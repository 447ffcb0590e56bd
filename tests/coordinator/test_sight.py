"""Whether two peers see each other, why and since when: against looking at one network after the other."""

import asyncio
from collections.abc import Iterator
from itertools import combinations

from hypothesis import given, settings

from innerd.coordinator.history import History, Sight
from innerd.domain import commands as c
from innerd.domain.network import Network
from innerd.domain.values import Name
from innerd.domain.visibility import View
from innerd.log.memory import MemoryStore
from tests.coordinator.bench import bench, cidr
from tests.coordinator.test_history import networks
from tests.coordinator.test_replay import live
from tests.domain.oracle import narrowest, told
from tests.log.histories import STEPS, Step


def cases(stages: list[Network]) -> Iterator[tuple[int, int, int]]:
    """Every pair at the end, and pairs at revisions along the way."""
    for a, b in combinations(sorted({*stages[-1].peers, *stages[-1].retired}), 2):
        yield a, b, len(stages) - 1
        yield b, a, (len(stages) - 1) * (a + b) // (a + b + 3) or 1


def explained(network: Network, a: int, b: int, found: Sight) -> bool:
    """Whether the rule that is named is one that the network bears out."""
    reason, one, other = found.reason, network.peers[a], network.peers[b]
    own = {narrowest(network, one).name, narrowest(network, other).name}
    match reason.rule:
        case "disabled":
            return reason.peer in {p.name for p in (one, other) if p.is_disabled}
        case "not_redeemed":
            return reason.peer in {p.name for p in (one, other) if not p.is_redeemed}
        case "coordinator":
            return 1 in (a, b)
        case "same_cidr":
            return own == set(reason.cidrs)
        case "no_association":
            return own == set(reason.cidrs)
        case "association":
            ends = [next(x for x in network.cidrs.values() if x.name == name) for name in reason.cidrs]
            joined = {x.id for x in ends} in [{x.cidr_id_1, x.cidr_id_2} for x in network.associations.values()]
            first, second = (x.range for x in ends)
            return joined and ((one.ip in first and other.ip in second) or (one.ip in second and other.ip in first))
    return False


@settings(deadline=None, max_examples=25)
@given(STEPS)
def test_sight_and_since_when_are_what_one_event_after_the_other_shows(steps: list[Step]) -> None:
    writer = asyncio.run(live(steps))
    assert isinstance(writer.store, MemoryStore)
    stages = networks(writer.store)

    async def check() -> None:
        history = History(writer)
        for a, b, revision in cases(stages):
            expected = told(stages, a, b, revision)
            if expected is None:
                continue
            network = stages[revision]
            found = await history.sight(network, a, b)
            assert (found.reason.sees, found.since and found.since.seq) == expected
            assert found.reason.sees == View.of(network).sees(network.peers[a], network.peers[b])
            assert explained(network, a, b, found)

    asyncio.run(check())


async def test_renames_and_other_peoples_changes_do_not_make_it_newer() -> None:
    b = await bench()
    await b.do(cidr(3))
    for number, name in ((2, "ryo"), (3, "mari")):
        key = f"{name:x<43}="
        await b.do(c.AddPeer(name=Name(name), cidr=3, ip=None, public_key=key, is_redeemed=True))  # type: ignore[arg-type]
        assert b.writer.network.peers[number].name == name
    made = b.revision
    await b.do(c.RenamePeer(2, Name("leo")))
    await b.do(c.RenameCidr(3, Name("people")))
    await b.do(cidr(4))
    await b.do(c.GrantAdmin(3))
    found = await History(b.writer).sight(b.writer.network, 2, 3)
    assert (found.since and found.since.seq, found.reason.cidrs) == (made, ("people",))

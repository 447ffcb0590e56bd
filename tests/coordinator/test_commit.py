"""One committer for all: what waits goes together, in order, and nobody is told before it is durable."""

import asyncio

import pytest

from innerd.coordinator.replay import load
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.domain.values import Name
from innerd.log.store import StoreError
from tests.coordinator.bench import Bench, asked, bench, cidr


async def refusal(task: "asyncio.Task[object]") -> str:
    with pytest.raises(Refused) as refused:
        await task
    return refused.value.code


async def test_commands_that_wait_are_committed_together() -> None:
    b = await bench()
    first = await b.hold_one(cidr(1))
    others = [b.begin(cidr(n)) for n in (2, 3, 4, 5)]
    b.store.release()
    replies = await asyncio.gather(first, *others)
    assert b.store.appends == [1, 4]
    assert [reply.revision for reply in replies] == [5, 6, 7, 8, 9]
    assert b.revision == 9


async def test_nothing_is_seen_or_told_before_it_is_durable() -> None:
    b = await bench()
    before, head = b.writer.view, b.writer.head_hash
    task = await b.hold_one(cidr(1))
    assert b.writer.view is before
    assert b.writer.head_hash == head
    assert (b.heard, task.done(), b.store.records[-1].seq) == ([], False, 4)
    b.store.release()
    await task
    assert (b.revision, len(b.heard), b.store.records[-1].seq) == (5, 1, 5)


async def test_a_command_is_decided_on_what_is_being_committed() -> None:
    b = await bench()
    first = await b.hold_one(cidr(1))
    again = b.begin(cidr(1))
    inside = b.begin(c.RenameCidr(3, Name("renamed")))
    b.store.release()
    await first
    assert await refusal(again) == "name_taken"
    assert (await inside).revision == 6
    assert b.writer.network.cidrs[3].name == "renamed"


async def test_already_so_is_not_answered_before_what_made_it_so_is_durable() -> None:
    b = await bench()
    await b.do(cidr(1))
    first = await b.hold_one(c.RenameCidr(3, Name("renamed")))
    again = b.begin(c.RenameCidr(3, Name("renamed")))
    b.store.broken = StoreError("disk full")
    b.store.release()
    assert [await refusal(first), await refusal(again)] == ["store_unavailable"] * 2


async def test_already_so_appends_nothing() -> None:
    b = await bench()
    reply = await b.do(c.RenameCidr(1, Name("kermpany")))
    assert (reply.status, reply.revision, b.store.appends, b.heard) == (204, 4, [], [])


async def test_followers_hear_of_each_command_in_order_when_it_is_what_readers_see() -> None:
    b = await bench()
    seen: list[tuple[int, int, int]] = []
    b.writer.feed.follow(
        "order",
        lambda change: seen.append((change.before.network.revision, change.after.network.revision, b.revision)),
    )
    tasks = [b.begin(cidr(n)) for n in (1, 2, 3)]
    await asyncio.gather(*tasks)
    assert seen == [(4, 5, 5), (5, 6, 6), (6, 7, 7)]
    assert [change.head_hash for change in b.heard] == [s.chain.hex() for s in b.store.records[4:]]
    assert b.writer.head_hash == b.store.records[-1].chain.hex()


async def test_a_command_of_many_events_is_one_change() -> None:
    b = await bench()
    await b.do(cidr(1))
    await b.do(c.AddPeer(name=Name("oven"), cidr=3, ip=None, public_key="k", is_redeemed=True, is_disabled=True))
    assert [len(change.events) for change in b.heard] == [1, 2]
    assert b.store.appends == [1, 2]
    assert b.writer.committer.appended["peer.disabled"] == 1


async def test_a_follower_that_fails_is_counted_and_the_others_still_hear() -> None:
    b = await bench()

    def fail(change: object) -> None:
        raise RuntimeError("the zone could not be compiled")

    late: list[object] = []
    b.writer.feed.follow("dns", fail)
    b.writer.feed.follow("late", late.append)
    await b.do(cidr(1))
    await b.do(cidr(2))
    assert b.writer.feed.errors == {"bench": 0, "dns": 2, "late": 0}
    assert len(late) == len(b.heard) == 2


async def test_a_caller_that_goes_away_takes_nobodys_commit_with_it() -> None:
    b = await bench()
    first = await b.hold_one(cidr(1))
    second, third = b.begin(cidr(2)), b.begin(cidr(3), asked=asked("r"))
    first.cancel()
    await asyncio.wait([first])
    second.cancel()
    b.store.release()
    assert (await third).revision == 7
    assert [cidr.name for cidr in b.writer.network.cidrs.values() if cidr.id > 2] == ["c1", "c2", "c3"]
    assert (await load(b.store)).network == b.writer.network


async def test_a_command_that_comes_as_the_committer_ends_is_committed_too() -> None:
    """The committer's last step and the next command may run in one turn of the loop."""
    b = await bench()
    first = await b.hold_one(cidr(1))
    b.store.release()
    second = b.begin(cidr(2))
    done, _ = await asyncio.wait([first, second], timeout=1)
    assert done == {first, second}
    assert b.revision == 6


async def test_a_preview_says_what_would_be_and_changes_nothing() -> None:
    b = await bench()
    await b.do(cidr(1))
    for number, name in enumerate(("oven", "tama")):
        await b.do(c.AddPeer(name=Name(name), cidr=3, ip=None, public_key=f"k{number}", is_redeemed=True))
    view, head, records = b.writer.view, b.writer.head_hash, list(b.store.records)
    b.heard.clear()
    assert b.writer.preview(c.DisablePeer(2)).lost == (("innernet-server", "oven"), ("oven", "tama"))
    with pytest.raises(Refused, match="no peer with id 9"):
        b.writer.preview(c.DisablePeer(9))
    assert (b.writer.view, b.writer.head_hash, b.store.records, b.heard) == (view, head, records, [])
    assert (await b.do(cidr(2))).revision == 8


@pytest.mark.parametrize(("expect", "outcome"), [(4, 5), (3, "revision_mismatch"), (5, "revision_mismatch")])
async def test_a_change_may_insist_on_a_revision(expect: int, outcome: int | str) -> None:
    b = await bench()
    task = b.begin(cidr(1), expect=expect)
    got = (await task).revision if isinstance(outcome, int) else await refusal(task)
    assert got == outcome
    assert b.revision == (outcome if isinstance(outcome, int) else 4)


async def _held_and_waiting(b: Bench) -> list["asyncio.Task[object]"]:
    first = await b.hold_one(cidr(1))
    return [first, b.begin(cidr(2)), b.begin(cidr(3))]


async def test_when_a_commit_fails_all_who_wait_are_told_and_readers_stay() -> None:
    b = await bench()
    view, head = b.writer.view, b.writer.head_hash
    waiting = await _held_and_waiting(b)
    b.store.broken = StoreError("disk full")
    b.store.release()
    assert [await refusal(task) for task in waiting] == ["store_unavailable"] * 3
    assert (b.writer.view, b.writer.head_hash, b.heard, b.fatal) == (view, head, [], [])
    assert b.store.appends == [1]  # what was decided on the lost head was not tried


async def test_while_the_disk_is_full_commands_are_refused_without_an_append() -> None:
    b = await bench()
    b.store.broken = StoreError("disk full")
    assert await refusal(b.begin(cidr(1))) == "store_unavailable"
    with pytest.raises(Refused, match="disk full"):
        await b.do(cidr(1))
    assert b.store.appends == [1]


async def test_writing_resumes_on_the_committed_network_when_a_probe_succeeds() -> None:
    b = await bench()
    waiting = await _held_and_waiting(b)
    b.store.broken = StoreError("disk full")
    b.store.release()
    await asyncio.wait(waiting)
    b.store.broken = None
    assert (await b.do(cidr(2))).revision == 5  # the name is free: it never came to be
    replayed = await load(b.store)
    assert (replayed.network, replayed.chain.hex()) == (b.writer.network, b.writer.head_hash)


async def test_an_unknown_outcome_ends_the_process() -> None:
    b = await bench()
    waiting = await _held_and_waiting(b)
    b.store.uncertain = True
    b.store.release()
    assert [await refusal(task) for task in waiting] == ["store_unavailable"] * 3
    assert b.fatal == ["the disk went away during the commit"]
    assert (b.revision, b.heard, b.store.appends) == (4, [], [1])


async def test_after_an_unknown_outcome_nobody_is_told_that_nothing_changed() -> None:
    b = await bench()
    b.store.uncertain = True
    with pytest.raises(Refused) as refused:
        await b.do(cidr(1))
    assert "nothing was changed" not in f"{refused.value.message} {refused.value.hint}"


async def test_a_failure_nobody_thought_of_ends_the_process_and_answers_those_who_wait() -> None:
    b = await bench()
    waiting = await _held_and_waiting(b)
    b.store.tables = {}  # the store itself is broken now: KeyError
    b.store.release()
    done, _ = await asyncio.wait(waiting, timeout=1)
    for task in waiting:
        task.cancel()
    assert len(b.fatal) == 1
    assert done == set(waiting)

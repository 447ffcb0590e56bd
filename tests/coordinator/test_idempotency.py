"""A request under an id of its own: repeated, it gets its first answer, and happens once."""

import asyncio

import pytest

from innerd.coordinator.writer import digest_of
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.domain.network import Network
from innerd.domain.values import Name
from innerd.log.codec import Who
from innerd.log.store import StoreError
from tests.coordinator.bench import LOCAL, asked, bench, cidr


def created(network: Network, happened: tuple[object, ...]) -> tuple[int, bytes]:
    return 201, b"cidr %d" % network.last_cidr


async def test_a_repeated_request_gets_its_first_answer_and_happens_once() -> None:
    b = await bench()
    first = await b.do(cidr(1), asked=asked("r"), render=created)
    await b.do(cidr(2))
    again = await b.do(cidr(1), asked=asked("r"), render=created)
    assert (first.status, first.body, first.repeated) == (201, b"cidr 3", False)
    assert (again.status, again.body, again.repeated) == (201, b"cidr 3", True)
    assert b.revision == 6


async def test_at_once_it_happens_once_too() -> None:
    b = await bench()
    b.store.hold()
    tasks = [b.begin(cidr(1), asked=asked("r"), render=created) for _ in range(4)]
    await b.store.entered.wait()
    b.store.release()
    replies = await asyncio.gather(*tasks)
    assert {(reply.status, reply.body) for reply in replies} == {(201, b"cidr 3")}
    assert sorted(reply.repeated for reply in replies) == [False, True, True, True]
    assert b.store.appends == [1]


async def test_after_a_restart_the_first_answer_is_still_known() -> None:
    b = await bench()
    await b.do(cidr(1), asked=asked("r"), render=created)
    await b.start()
    again = await b.do(cidr(1), asked=asked("r"), render=created)
    assert (again.status, again.body, again.repeated, b.revision) == (201, b"cidr 3", True, 5)


async def test_another_question_under_the_same_id_is_refused() -> None:
    b = await bench()
    await b.do(cidr(1), asked=asked("r"))
    with pytest.raises(Refused) as refused:
        await b.do(cidr(2), asked=asked("r", b"e" * 32))
    assert refused.value.code == "idempotency_mismatch"
    assert b.revision == 5


async def test_an_id_belongs_to_its_actor() -> None:
    b = await bench()
    await b.do(cidr(1), LOCAL, asked=asked("r"))
    other = await b.do(cidr(2), Who("peer:2", "10.42.0.2"), asked=asked("r", b"e" * 32))
    assert (other.repeated, b.revision) == (False, 6)


async def test_a_refusal_is_not_remembered() -> None:
    b = await bench()
    await b.do(cidr(1))
    with pytest.raises(Refused):
        await b.do(cidr(1), asked=asked("r"))
    await b.do(c.DeleteCidr(3))
    reply = await b.do(cidr(1), asked=asked("r"))
    assert (reply.repeated, b.writer.network.cidrs[4].name) == (False, "c1")


async def test_a_failed_commit_is_not_remembered() -> None:
    b = await bench()
    b.store.broken = StoreError("disk full")
    with pytest.raises(Refused):
        await b.do(cidr(1), asked=asked("r"))
    b.store.broken = None
    assert (await b.do(cidr(1), asked=asked("r"))).repeated is False
    assert b.revision == 5


async def test_what_is_so_already_stores_nothing() -> None:
    """Whoever asks for what is so, under a new id each time, would fill the disk and change nothing."""
    b = await bench()
    await b.do(cidr(1))
    for number in range(5):
        reply = await b.do(c.RenameCidr(3, Name("c1")), asked=asked(f"r{number}"))
        assert (reply.status, reply.repeated) == (204, False)
    assert b.store.answers == {}
    assert b.store.appends == [1], "there was nothing to commit"


async def test_what_will_be_so_already_waits_for_that_and_stores_nothing() -> None:
    b = await bench()
    await b.do(cidr(1))
    held = await b.hold_one(c.RenameCidr(3, Name("cats")))
    same = b.begin(c.RenameCidr(3, Name("cats")), asked=asked("r"))
    await asyncio.sleep(0)
    assert not same.done(), "it is not known to be so before the commit that makes it so"
    b.store.release()
    await asyncio.gather(held, same)
    assert b.store.answers == {}


async def test_a_first_answer_counts_more_than_an_expected_revision() -> None:
    """The retry says the same `If-Match`, which its own first try made untrue."""
    b = await bench()
    await b.do(cidr(1), asked=asked("r"), expect=4)
    assert (await b.do(cidr(1), asked=asked("r"), expect=4)).repeated is True


async def test_retries_wait_for_each_other_after_a_failed_first_try_as_well() -> None:
    b = await bench()
    b.store.hold()
    first, second = (b.begin(cidr(1), asked=asked("r"), render=created) for _ in range(2))
    await b.store.entered.wait()
    b.store.failures = 1
    b.store.release()
    b.store.hold()  # the next append, which is the second try's
    with pytest.raises(Refused, match="disk full"):
        await first
    await b.store.entered.wait()
    third = b.begin(cidr(1), asked=asked("r"), render=created)
    await asyncio.wait([b.begin(cidr(2), expect=0)])  # the third was decided by now, if it did not wait
    b.store.release()
    replies = await asyncio.gather(second, third)
    assert [(reply.status, reply.body) for reply in replies] == [(201, b"cidr 3")] * 2
    assert b.revision == 5


async def test_ids_of_requests_that_are_over_take_no_memory() -> None:
    b = await bench()
    for number in range(1, 20):
        await b.do(cidr(number), asked=asked(f"r{number}"))
    assert not b.writer._turns


def test_a_digest_keeps_the_parts_of_a_request_apart() -> None:
    asks = [(b"PUT", b"/a"), (b"PUT/", b"a"), (b"PUT/a",), (b"PUT", b"/a", b""), (b"/a", b"PUT")]
    assert len({digest_of(*parts) for parts in asks}) == len(asks)
    assert digest_of(b"PUT", b"/a") == digest_of(b"PUT", b"/a")

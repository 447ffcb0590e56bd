"""What the feed remembers, for clients that come back, and what it lets go."""

from ipaddress import ip_network

from innerd.coordinator.feed import Feed
from innerd.domain import commands as c
from innerd.domain.values import Name
from tests.coordinator.bench import Bench, bench, cidr


async def renames(b: Bench, count: int) -> None:
    """Changes that leave the tree as it is."""
    for number in range(count):
        await b.do(c.RenameCidr(1, Name(f"n{number % 2}")))


async def test_the_views_of_past_revisions_are_remembered() -> None:
    b = await bench()
    await b.do(cidr(1))
    await b.do(cidr(2))
    history = b.writer.feed.history
    assert [history.at(n).network.last_cidr for n in (4, 5, 6)] == [2, 3, 4]
    assert history.at(6) is b.writer.view
    assert history.at(7) is None


async def test_of_quiet_changes_a_thousand_views_are_kept() -> None:
    b = await bench()
    await renames(b, 1100)
    history = b.writer.feed.history
    kept = [n for n in range(b.revision + 1) if history.at(n) is not None]
    assert kept == list(range(b.revision - 1023, b.revision + 1))


async def test_of_changes_to_the_tree_sixteen_views_are_kept() -> None:
    b = await bench()
    for number in range(1, 30):
        await b.do(cidr(number))
    history = b.writer.feed.history
    assert [n for n in range(40) if history.at(n) is not None] == list(range(b.revision - 15, b.revision + 1))


async def test_revisions_within_a_command_are_never_shown() -> None:
    b = await bench()
    await b.do(c.AddCidr(Name("ovens"), ip_network("10.42.3.0/24")))
    await b.do(c.AddPeer(name=Name("o"), cidr=3, ip=None, public_key="k", is_redeemed=True, is_disabled=True))
    assert b.revision == 7
    assert b.writer.feed.history.at(6) is None


async def test_who_unfollows_hears_no_more() -> None:
    b = await bench()
    b.writer.feed.unfollow("bench")
    b.writer.feed.unfollow("nobody")
    await b.do(cidr(1))
    assert b.heard == []


async def test_a_follower_that_leaves_while_it_is_told_disturbs_nobody() -> None:
    b = await bench()
    feed: Feed = b.writer.feed
    late: list[object] = []
    feed.follow("once", lambda change: feed.unfollow("once"))
    feed.follow("late", late.append)
    await b.do(cidr(1))
    assert len(late) == len(b.heard) == 1
    assert feed.errors == {"bench": 0, "once": 0, "late": 0}

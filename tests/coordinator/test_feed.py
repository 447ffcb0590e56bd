"""What the feed remembers, for clients that come back, and what it lets go."""

from ipaddress import ip_network

from hypothesis import given, settings

from innerd.coordinator.feed import Committed, Feed
from innerd.domain import commands as c
from innerd.domain.concern import concerned
from innerd.domain.netmap import delta
from innerd.domain.network import Peer
from innerd.domain.values import COORDINATOR, Endpoint, Name
from innerd.domain.visibility import View, touched
from tests.coordinator.bench import Bench, bench, cidr
from tests.domain.runs import Run, runs


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


# -- what happened since ----------------------------------------------------------------------------------------------


async def test_what_was_touched_since_a_revision_is_all_of_it_and_nothing_before() -> None:
    b = await bench()
    for number in range(2, 6):  # peers of the root, redeemed
        await b.do(c.AddPeer(name=Name(f"p{number}"), cidr=1, ip=None, public_key=f"k{number}", is_redeemed=True))
    begun, history = b.revision, b.writer.feed.history
    await b.do(c.OverrideEndpoint(2, Endpoint("198.51.100.1:1")))
    await b.do(c.RenameCidr(1, Name("n")))
    await b.do(c.ChangePeer(id=3, name=Name("other"), is_admin=True))  # two events, one command
    await b.do(c.OverrideEndpoint(2, None))
    since = {n - begun: past.touched for n in range(begun, b.revision + 1) if (past := history.since(n)) is not None}
    assert since == {0: {2, 3}, 1: {2, 3}, 2: {2, 3}, 4: {2}, 5: frozenset()}
    past = history.since(begun)
    assert past is not None
    assert past.view is history.at(begun)


async def test_nothing_is_known_since_what_was_forgotten_or_is_yet_to_come() -> None:
    b = await bench()
    begun = b.revision
    await renames(b, 1100)
    history = b.writer.feed.history
    assert history.since(begun) is history.since(b.revision - 1024) is history.since(b.revision + 1) is None
    assert history.since(b.revision - 1023) is not None


# -- after a restart --------------------------------------------------------------------------------------------------


def peopled(view: View) -> dict[int, dict[int, Peer]]:
    """The classes that have members: one whose last went is as good as none."""
    return {class_: dict(held) for class_, held in view.members.items() if held}


def followed(run: Run, feed: Feed, view: View) -> View:
    """The feed of a coordinator that lived through it."""
    for step in run.steps:
        if not step.events:  # a wish that was so already: nothing is published
            continue
        before, view = view, view.advance(step.after, step.events)
        feed.publish(Committed(before, view, step.events, 0.0, "", concerned(before, view, step.events)))
    return view


@settings(deadline=None, max_examples=80)
@given(runs(most=30))
def test_what_is_recalled_is_what_was_lived_through(run: Run) -> None:
    start = View.of(run.start)
    lived, recalled = Feed(start), Feed(start)
    live = followed(run, lived, start)
    last = recalled.recall(start, run.between(0, len(run.steps)))
    assert last.network == live.network
    assert peopled(last) == peopled(live)
    assert recalled.history.at(last.network.revision) is last
    for network in run.networks:
        one, other = lived.history.since(network.revision), recalled.history.since(network.revision)
        if one is None or other is None:
            continue
        assert one.view.network == other.view.network == network
        assert peopled(one.view) == peopled(other.view)
        assert one.touched == other.touched
    if all(len(step.events) == 1 for step in run.steps):
        for class_ in live.network.cidrs:
            assert lived.concern.last(class_) == recalled.concern.last(class_)


@settings(deadline=None, max_examples=80)
@given(runs(most=30))
def test_whom_nothing_concerned_as_it_is_recalled_missed_nothing(run: Run) -> None:
    """A command of two events is recalled as two: by the revisions that clients have, the answer is as good."""
    start = View.of(run.start)
    recalled = Feed(start)
    last = recalled.recall(start, run.between(0, len(run.steps)))
    for network in run.networks:
        view = View.of(network)
        for peer in network.peers.values():
            now = last.network.peers.get(peer.id)
            if peer.id == COORDINATOR or not peer.is_active or now is None or not now.is_active:
                continue
            class_ = last.class_of(now)
            if recalled.concern.last(class_) <= network.revision:
                assert delta(view, view.class_of(peer), last, class_).is_empty


@settings(deadline=None, max_examples=40)
@given(runs(most=30))
def test_what_was_touched_is_enough_to_compare(run: Run) -> None:
    """The delta of the touched peers alone is the delta of all."""
    start = View.of(run.start)
    feed = Feed(start)
    last = followed(run, feed, start)
    for network in run.networks:
        past = feed.history.since(network.revision)
        if past is None:
            continue
        assert past.touched == touched(run.between(run.networks.index(network), len(run.steps)))
        for peer in network.peers.values():
            now = last.network.peers.get(peer.id)
            if peer.id == COORDINATOR or not peer.is_active or now is None or not now.is_active:
                continue
            was, is_ = past.view.class_of(peer), last.class_of(now)
            assert delta(past.view, was, last, is_, past.touched) == delta(past.view, was, last, is_)


async def test_before_what_is_recalled_everything_may_have_concerned_anybody() -> None:
    b = await bench()
    feed = Feed(b.writer.view)
    assert [feed.concern.last(class_) for class_ in (1, 2, 77)] == [b.revision] * 3
    assert feed.recall(b.writer.view, ()) is b.writer.view

"""Whatever a peer asks, and whatever it is told unasked, no trace of a peer that it can't see is in it.

Random lives of a network in which everything about a peer can be told from everything else: names, addresses, keys,
endpoints, candidates, records. Who sees whom is the oracle's word. Then all that comes out of a coordinator is walked,
for every asker that is no administrator. NetworkNames and ranges of CIDRs, and revisions, are known to all.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from innerd.coordinator.names import NetworkNames
from innerd.coordinator.presence import Observed, Receipt
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.domain.network import Network, Peer
from innerd.domain.values import COORDINATOR, Name
from innerd.log.codec import Who
from innerd.streaming.registry import Stream
from innerd.wire.stream import parse_cursor
from tests.api.asking import Answer, ask
from tests.api.streaming import drained, frames_of
from tests.api.test_metrics import switch_on
from tests.coordinator.test_history import networks
from tests.dns.asking import packet, question_of, reply
from tests.domain.oracle import visible
from tests.world import World, key, world

PEERS = ("yapok", "quokka", "wombat", "xerus", "zorilla", "vicuna", "jerboa")
CIDRS = {"plains": "127.42.128.0/17", "creek": "127.42.64.0/24", "hill": "127.42.3.0/24", "burrow": "127.42.200.0/24"}
KINDS = ("associate", "dissociate", "disable", "enable", "grant", "revoke", "rename", "remove", "carve", "override")
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), max_size=9)
_LABEL = re.compile(r"[a-z0-9-]+")  # one that names have, or a text of records


class Life:
    """A world and all by which each of its peers could ever be told."""

    def __init__(self, w: World) -> None:
        self.w = w
        self.names = NetworkNames(w.writer.view, "wg", 5)
        w.writer.feed.follow("dns", self.names.follow)
        self.marks: dict[int, set[str]] = {}
        self.streams: dict[int, Stream] = {}
        self.heard: dict[int, bytes] = {}

    @property
    def network(self) -> Network:
        return self.w.writer.network

    def askers(self) -> Iterator[Peer]:
        """All that may ask something and are no administrators: those who have not redeemed too."""
        return (peer for peer in self.network.peers.values() if not (peer.is_admin or peer.is_disabled))

    def mark(self, peer: Peer) -> None:
        self.marks.setdefault(peer.id, set()).update(
            {
                peer.name,
                f"peer:{peer.id}",
                str(peer.ip),
                str(peer.ip.reverse_pointer),
                peer.public_key,
                peer.endpoint or peer.name,
            }
        )

    def hidden(self, asker: Peer) -> list[int]:
        seen = visible(self.network, asker) | {asker.id}
        return [number for number in self.marks if number not in seen]

    def traces_of(self, numbers: Iterable[int], raw: bytes, but: Iterable[str] = ()) -> list[str]:
        """What in some bytes tells of these peers. What an asker said itself is no news to it."""
        text = raw.decode().lower()
        marks = {mark.lower() for number in numbers for mark in self.marks[number]} - {mark.lower() for mark in but}
        return [
            mark for mark in marks if mark in text and re.search(rf"(?<![\w.]){re.escape(mark)}(?![\w/]|\.\d)", text)
        ]

    def listen(self) -> None:
        for number, stream in self.streams.items():
            self.heard[number] = self.heard.get(number, b"") + drained(stream)


async def begun() -> Life:
    """Two peers to a CIDR, one that has not redeemed; all have an endpoint, candidates, records and soft state."""
    w = await world()
    for name, block in CIDRS.items():
        if name != "burrow":
            await w.add_cidr(name, block)
    life = Life(w)
    for number, name in enumerate(PEERS):
        cidr = ("plains", "creek", "hill")[number % 3]
        peer = await (w.invite if name == "jerboa" else w.join)(name, cidr, admin=name == "yapok")
        life.marks[peer.id] = {key(name), key(f"{name} invitation")}
        await w.do(c.AddRecord(name=f"app-of-{number}.{name}", rrtype="TXT", value=f"text-of-{number}"))
        await w.do(c.AddRecord(name=f"alias-of-{number}", rrtype="CNAME", value=name))
        await w.do(c.AddRecord(name=f"*.app-of-{number}.{name}", rrtype="TXT", value=f"wild-of-{number}"))
        life.marks[peer.id] |= {f"{what}-of-{number}" for what in ("app", "text", "alias", "wild")}
        await override(life, peer.id, number)
        soft(life, peer.id)
        life.mark(w.peer(name))
    w.now += 120
    for peer in life.askers():
        if peer.is_active:
            life.streams[peer.id] = await w.open(peer.name)
    return life


async def override(life: Life, number: int, port: int) -> None:
    await life.w.do(c.OverrideEndpoint(number, f"198.51.100.{number}:{5000 + port}"))  # type: ignore[arg-type]


def soft(life: Life, number: int) -> None:
    """What a coordinator knows of a peer beside the log."""
    w, learned, candidate = life.w, f"203.0.113.{number}:4000", f"192.168.77.{number}:51820"
    w.presence.observe(number, Observed(learned, w.now, 1, 1))  # type: ignore[arg-type]
    w.presence.report_candidates(number, (candidate,))  # type: ignore[arg-type]
    w.presence.report_applied(number, Receipt(3, w.now))
    life.marks[number] |= {learned, candidate}


async def step(life: Life, kind: str, a: int, b: int) -> None:
    """Something happens, by the hand of some administrator."""
    network, w = life.network, life.w
    others = sorted(number for number in network.peers if number != COORDINATOR)
    cidrs = [name for name in CIDRS if network.cidr_named(name)]
    peer = others[a % len(others)] if others else COORDINATOR
    command: Any = {
        "associate": lambda: c.AddAssociation(w.cidr_id(cidrs[a % len(cidrs)]), w.cidr_id(cidrs[b % len(cidrs)])),
        "dissociate": lambda: c.DeleteAssociation(a % 4 + 1),
        "disable": lambda: c.DisablePeer(peer),
        "enable": lambda: c.EnablePeer(peer),
        "grant": lambda: c.GrantAdmin(peer),
        "revoke": lambda: c.RevokeAdmin(peer),
        "rename": lambda: c.RenamePeer(peer, Name(f"name{network.revision}")),
        "remove": lambda: c.RemovePeer(peer),
        "carve": lambda: c.AddCidr(Name("burrow"), network.root.range.__class__(CIDRS["burrow"])),
        "override": lambda: c.OverrideEndpoint(peer, f"198.51.100.{peer}:{6000 + network.revision}"),
    }[kind]()
    hand = next((p.id for p in network.peers.values() if p.is_admin and p.is_active and p.id != COORDINATOR), None)
    try:
        await w.do(command, Who("local:root", "socket") if hand is None else Who(f"peer:{hand}", "127.42.128.1"))
    except Refused:
        return
    for number in others:
        if number in life.network.peers:
            life.mark(life.network.peers[number])


# -- what is asked ------------------------------------------------------------------------------------------------


def questions(life: Life, asker: Peer) -> Iterator[tuple[str, str, Any]]:
    for target in ("user/state", "user/capabilities", "network", "network?at=9", "why", "user/nothing", "nothing"):
        yield "GET", f"/v1/{target}", None
    for target in ("peers", "cidrs", "associations", "records", "status", "convergence", "convergence?wait=1"):
        yield "GET", f"/v1/admin/{target}", None
    for target in ("events", "events?newest=true", "events?follow=true", "events?actor=peer:2", "events?after=x"):
        yield "GET", f"/v1/admin/{target}", None
    for target in ("/metrics", "/openapi.json", "/healthz", "/nothing"):
        yield "GET", target, None
    for dry in ("", "?dry_run=true&all_pairs=true"):
        yield "POST", f"/v1/user/redeem{dry}", {"public_key": key("coordinator")}
        yield "POST", f"/v1/user/redeem{dry}", {"public_key": "nothing"}
        yield "PUT", f"/v1/user/endpoint{dry}", {"option": "Unset"}
        yield "PUT", f"/v1/user/candidates{dry}", ["nothing"]
        yield "PUT", f"/v1/user/applied{dry}", {"revision": 2**62, "refused": [{"peer": 2, "reason": "pin"}]}
        for route in ("peers", "cidrs", "associations", "records", "rebuild"):
            yield "POST", f"/v1/admin/{route}{dry}", {}
    for number in life.marks:
        yield "POST", "/v1/user/connect", {"peer": number}
        yield "DELETE", f"/v1/admin/peers/{number}?dry_run=true&remove=true", None
        yield "PATCH", f"/v1/admin/peers/{number}?dry_run=true", {"is_disabled": True}
    for other in life.network.peers.values():
        for query in (f"a={other.name}", f"a={asker.name}&b={other.name}", f"a={other.name}&b={PEERS[0]}&at=9"):
            yield "GET", f"/v1/why?{query}", None
        yield "POST", "/v1/admin/peers?dry_run=true", peer_contents_of(other)


def peer_contents_of(other: Peer) -> dict[str, Any]:
    """A wish that collides with a peer in all that it has."""
    return {"name": other.name, "ip": str(other.ip), "cidr_id": 3, "public_key": other.public_key}


def said(question: tuple[str, str, Any]) -> set[str]:
    """What a question itself speaks of."""
    return {*re.split(r"[?&=]", question[1]), *re.findall(r'[^"]+', json.dumps(question[2]))}


async def check_answers(life: Life, asker: Peer) -> None:
    hidden = life.hidden(asker)
    for question in questions(life, asker):
        answer = await ask(life.w, asker.name, *question[:2], json=question[2])
        told = answer.body + repr(answer.headers).encode()
        assert life.traces_of(hidden, told, said(question)) == [], (asker.name, question, told)
        if question[1] == "/v1/user/state" and answer.status == 200:
            assert {peer["id"] for peer in answer.json()["peers"]} == visible(life.network, asker)


async def check_doubles(life: Life, asker: Peer) -> None:
    """Who is out of sight is answered as who was never there: to the byte, but for what was said by the asker."""
    for number in life.hidden(asker):
        peer = life.network.peers.get(number) or life.network.retired.get(number)
        if peer is None:
            continue
        for query in ("a={}", "a={0}&b={0}", f"a={asker.name}&b={{}}", f"a={{}}&b={asker.name}"):
            one, other = [await why(life, asker, query.format(name)) for name in (peer.name, "none")]
            assert (one.status, one.body) == (other.status, other.body), (asker.name, query, peer.name)
        hidden, absent = [
            await ask(life.w, asker.name, "POST", "/v1/user/connect", json={"peer": n}) for n in (number, 10**6)
        ]
        assert (hidden.status, hidden.body) == (absent.status, absent.body)


async def why(life: Life, asker: Peer, query: str) -> Answer:
    return await ask(life.w, asker.name, "GET", f"/v1/why?{query}")


async def check_metrics(life: Life, asker: Peer) -> None:
    """Who is allowed to read metrics, and is no administrator: without series of peers they name nobody."""
    switch_on(life.w, allow=["127.42.0.0/16"], per_peer=False)
    answer = await ask(life.w, asker.name, "GET", "/metrics", server_key=None)
    assert answer.status == (200 if asker.is_active else 401)
    assert life.traces_of(life.hidden(asker), answer.body) == []
    switch_on(life.w)


def check_names(life: Life, asker: Peer) -> None:
    zone, source = life.names.zone, str(asker.ip)
    if not asker.is_active:
        assert zone.asker(source) is None
        return
    labels = {number: {mark for mark in marks if _LABEL.fullmatch(mark)} for number, marks in life.marks.items()}
    reverse = {mark for marks in life.marks.values() for mark in marks if mark.endswith(".arpa")}
    texts = {f"{prefix}{label}" for known in labels.values() for label in known for prefix in ("", "x.app-of-1.")}
    hidden = {bytes([len(label)]) + label.encode() for number in life.hidden(asker) for label in labels[number]}
    hidden |= {life.network.peers[number].ip.packed for number in life.hidden(asker) if number in life.network.peers}
    for name in {*reverse, "kermpany.wg", "42.127.in-addr.arpa", *(f"{text}.kermpany.wg" for text in texts)}:
        for rrtype in ("A", "TXT", "PTR", "ANY"):
            asked = packet(name, rrtype)
            answer = reply(asked, zone=zone, source=source)
            assert answer is not None
            told = answer[12 + len(question_of(asked)) :]  # names in it that were asked for are pointers
            assert [mark for mark in hidden if mark in told] == [], (asker.name, name, rrtype)


# -- what is told unasked -----------------------------------------------------------------------------------------


def ever_seen(life: Life, number: int) -> set[int]:
    """Whom a peer could see at any revision."""
    stages = [stage for stage in networks(life.w.store)[1:] if number in stage.peers]
    return {number}.union(*(visible(stage, stage.peers[number]) for stage in stages))


def numbers_in(raw: bytes) -> set[int]:
    """The ids of peers in frames."""
    found: set[int] = set()
    for frame in frames_of(raw):
        found |= set(frame.data.get("gone", ()))
        for peer in frame.data.get("peers", ()):
            found.add(peer.get("id", peer.get("peer")))
        found |= {frame.data["peer"]} if frame.event == "connect" else set()
    return found


def check_heard(life: Life) -> None:
    for number, raw in life.heard.items():
        known = ever_seen(life, number)
        assert life.traces_of((n for n in life.marks if n not in known), raw) == [], number
        assert numbers_in(raw) <= known


async def check_resumed(life: Life, asker: Peer) -> None:
    """Who comes back is told what is so, and of who went out of sight the id alone, if it knew that."""
    for revision in (0, 12, life.network.revision // 2, life.network.revision - 1, life.network.revision):
        cursor = parse_cursor(f"1.{revision}") if revision else None
        stream = await life.w.open(asker.name, cursor)
        await life.w.hub.sender.tell_presence()
        raw = drained(stream)
        assert life.traces_of(life.hidden(asker), raw) == [], (asker.name, revision)
        assert numbers_in(raw) <= ever_seen(life, asker.id)
        life.w.now += 60  # a stream a second, not more


async def walk(steps: list[tuple[str, int, int]]) -> None:
    life = await begun()
    for kind, a, b in steps:
        await step(life, kind, a, b)
        for number in list(life.streams):
            if number in life.network.peers:
                soft(life, number)
        await life.w.hub.sender.tell_presence()
        life.listen()
        check_heard(life)
    for asker in list(life.askers()):
        await check_answers(life, asker)
        await check_doubles(life, asker)
        await check_metrics(life, asker)
        check_names(life, asker)
        if asker.is_active:
            await check_resumed(life, asker)


@settings(max_examples=8, deadline=None)
@given(STEPS)
@example([("associate", 1, 2), ("override", 1, 0)])  # the creek and the hill, by the hand of one of the plains
@example([("carve", 0, 0), ("associate", 0, 1), ("dissociate", 0, 0), ("rename", 3, 0), ("remove", 4, 0)])
def test_no_output_to_a_peer_has_a_trace_of_one_that_it_can_not_see(steps: list[tuple[str, int, int]]) -> None:
    asyncio.run(walk(steps))


def test_the_traces_are_found_where_they_may_be() -> None:
    """Or the test above would look for what is never told to anybody."""

    async def check() -> None:
        life = await begun()
        life.listen()
        found = {number: life.traces_of([number], b"".join(life.heard.values())) for number in life.streams}
        for number, marks in found.items():
            peer = life.network.peers[number]
            assert {
                peer.name,
                str(peer.ip),
                peer.public_key.lower(),
                f"203.0.113.{number}:4000",
            } <= set(marks), number
        everything = await ask(life.w, None, "GET", "/v1/network")
        records = await ask(life.w, None, "GET", "/v1/admin/records")
        for number in life.streams:
            told = life.traces_of([number], everything.body + records.body)
            assert len(told) >= 7, (number, told)

    asyncio.run(check())

"""The routes that look: the network now and as it was, why, how things are, and the log."""

from collections import Counter
from typing import Any

import msgspec
from msgspec.structs import replace

from innerd import __version__
from innerd.api.asgi import only_waits
from innerd.api.audit import actor_name, audit_page
from innerd.api.callers import Caller
from innerd.api.routing import Answer, Request, etag, json, route
from innerd.api.services import Services
from innerd.api.slices import encoded, made_of
from innerd.coordinator.history import is_revision, revision_at
from innerd.coordinator.presence import Presence, releases
from innerd.domain.errors import Refused
from innerd.domain.naming import peer_meant
from innerd.domain.network import Network, Peer
from innerd.domain.values import COORDINATOR
from innerd.domain.values import shown as shown_text
from innerd.domain.visibility import View
from innerd.log.codec import Envelope
from innerd.streaming.convergence import MOST
from innerd.wire import ours


@route("GET", "/v1/network", "Network", "Everything, at the newest revision or as it was (at)", answer=ours.NetworkJson)
async def network(request: Request, services: Services) -> Answer:
    view: View = services.writer.view
    soft: Presence | None = services.presence
    at = request.query.get("at")
    if at is not None:
        revision = await revision_at(services.writer.store, view.network.revision, services.clock(), at)
        view, soft = View.of(await services.history.at(revision)), None  # none was kept
    return json(await _shown(services, view, soft), view.network.revision)


async def _shown(services: Services, view: View, soft: Presence | None) -> ours.NetworkJson:
    network, now = view.network, services.clock()
    members, records = Counter[int](), list[ours.NetworkRecord]()
    configs = {} if soft is None else await services.configs.states(view)

    def made(peer: Peer) -> ours.NetworkPeer:
        members[view.class_of(peer)] += 1
        records.extend(ours.records_of(peer))
        found = ours.network_peer(view, soft, now, peer, is_serving=services.is_serving)
        found.config = configs.get(peer.id)
        return found

    peers: Any = await encoded(network.by_id(), made)
    known = (network.cidrs[number] for number in sorted(network.cidrs))
    cidrs: Any = await encoded(known, lambda cidr: ours.network_cidr(view, cidr, members[cidr.id]))
    joined = (network.associations[number] for number in sorted(network.associations))
    associations: Any = await encoded(joined, lambda one: ours.network_association(view, one))
    endpoint, suffix = services.internal_endpoint, services.suffix
    found = ours.network_json(view, peers, cidrs, associations, records, endpoint, suffix)
    return replace(found, tcp=services.tcp)


@route("GET", "/v1/why", "Why", "Whether two peers see each other, by which rule, since which event", answer=ours.Why)
async def why(request: Request, services: Services) -> Answer:
    """Administrators ask about any pair and any time; a peer about itself and whom it sees, now: for it, who is out of
    sight does not exist."""
    writer, asks = services.writer, request.caller
    view = writer.view
    network, head = view.network, view.network.revision
    at = request.query.get("at")
    if at is not None:
        if not asks.admin_capable():
            raise Refused("not_admin", "only administrators may look back")
        network = await services.history.at(await revision_at(writer.store, head, services.clock(), at))
    asked = request.query
    if "a" in asked and "b" not in asked:  # who asks and the one named; the local user is the coordinator
        asked = {"a": (asks.peer or network.coordinator).name, "b": asked["a"]}
    one, other = (_named(network, asked.get(name), name, is_admin=asks.admin_capable()) for name in ("a", "b"))
    if not asks.admin_capable():
        own = asks.peer
        for peer in (one, other):
            if peer.id != own.id and not view.sees(own, peer):
                raise _nobody()
        if own.id not in (one.id, other.id):
            raise Refused("not_admin", "only administrators may ask about others")
    if one.id == other.id:
        raise Refused("invalid_request", f'"{one.name}" and "{other.name}" are one peer')
    async with services.history.sights[asks.admin_capable()].take():
        sight = await services.history.sight(network, one.id, other.id)
    since = _made(sight.since, writer.view, asks)
    return json(
        ours.why_json(one.name, other.name, network.revision, sight.reason, since, sight.before), network.revision
    )


def _named(network: Network, name: str | None, parameter: str, *, is_admin: bool) -> Peer:
    if name is None:
        raise Refused("invalid_request", f"the name of a peer is missing ({parameter})", "name two peers")
    peer = peer_meant(network, name)
    if peer is None:
        raise _nobody(name if is_admin else None)
    return peer


def _nobody(name: str | None = None) -> Refused:
    """To who is no administrator the very same, whether a peer is out of sight or was never there."""
    return Refused(
        "peer_not_found", "there is no such peer" if name is None else f"there is no peer {shown_text(name)}"
    )


def _made(since: Envelope | None, view: View, asks: Caller) -> ours.MadeBy | None:
    """Who did it is told to who may see that peer: to others it was an administrator, whichever."""
    if since is None:
        return None
    actor, name = since.actor, actor_name(since.actor, view.network)
    if not asks.admin_capable() and not _may_know(actor, view, asks):
        actor, name = "administrator", "an administrator"
    return ours.MadeBy(seq=since.seq, at=since.at, type=since.type, actor=actor, actor_name=name)


def _may_know(actor: str, view: View, asks: Caller) -> bool:
    kind, _, number = actor.partition(":")
    if kind != "peer":
        return actor == "coordinator"
    own, other = (view.network.peers.get(n) for n in (asks.peer.id if asks.peer else 0, int(number)))
    return own is not None and other is not None and view.sees(own, other)


@route("GET", "/v1/admin/status", "Status", "How the coordinator is", answer=ours.Status)
async def status(request: Request, services: Services) -> Answer:
    view = services.writer.view
    network, presence, now = view.network, services.presence, services.clock()
    others = (number for held in view.members.values() for number in held if number != COORDINATOR)
    running = Counter[str | None]()

    def looked_at(number: int) -> bool:
        running[presence.software.get(number)] += 1
        return presence.is_online(number, now)

    active = await made_of(others, looked_at)
    found = ours.Status(
        network=network.name,
        id=network.id,
        generation=network.generation,
        revision=network.revision,
        head=services.writer.head_hash,
        version=__version__,
        is_serving=services.is_serving,
        started=services.started,
        peers=len(active),
        online=sum(active),
        streams=len(services.hub.streams.by_peer),
        lagging=services.convergence.lagging(),
        endpoint=network.coordinator.endpoint,
        device_errors=services.device_errors(),
        follower_errors=services.writer.feed.errors,
        troubles=services.troubles(),
        software=releases(running),
        configs={
            network.peers[number].name: state
            for number, state in (await services.configs.states(view)).items()
            if state.behind
        },
        relay=await services.relay_status(with_pairs=True),
    )
    return json(found, network.revision)


@route(
    "GET", "/v1/admin/convergence", "Convergence", "Which peers have applied which revision", answer=ours.Convergence
)
async def convergence(request: Request, services: Services) -> Answer:
    """With `revision`, of what happened up to it; with `wait`, when all connected peers have that, or after so many
    seconds."""
    head, asked = services.writer.network.revision, request.query
    revision, seconds = _revision(asked.get("revision"), head), _seconds(asked.get("wait"))
    if seconds and not services.is_serving:
        raise Refused("not_serving", "nobody serves this network: no peer is connected", "start it: innerd serve")
    if seconds:
        only_waits(request.scope)
    waited = await services.convergence.wait(revision, seconds) if seconds else 0.0
    head, peers = services.writer.network.revision, services.convergence.at(revision)
    made: Any = await encoded(peers, lambda peer: peer)
    found = ours.Convergence(revision=head, asked=revision, waited=waited, peers=made)
    return json(found, found.revision)


def _revision(text: str | None, head: int) -> int:
    if text is None:
        return head
    if not is_revision(text) or int(text) > head:
        raise Refused("invalid_request", f"revision must be one of the log, up to {head}, not {text[:40]!r}")
    return int(text)


def _seconds(text: str | None) -> float:
    if text is None:
        return 0.0
    if not is_revision(text) or not 0 < int(text) <= MOST:
        raise Refused("invalid_request", f"wait must be seconds, 1 to {MOST:.0f}, not {text[:40]!r}")
    return float(text)


@route("GET", "/v1/admin/events", "Audit", "The log: who did what, when, to what", answer=ours.Audit)
async def audit(request: Request, services: Services) -> Answer:
    async with services.history.pages.take():
        page = await audit_page(services.writer, request.query)
    if "application/x-ndjson" in (request.header("accept") or ""):
        lines = b"".join(msgspec.json.encode(record) + b"\n" for record in page.events)
        return Answer(body=lines, kind="application/x-ndjson", headers=etag(page.revision))
    return json(page, page.revision)


ROUTES = [network, why, status, convergence, audit]

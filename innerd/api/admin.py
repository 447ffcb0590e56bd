"""The routes of administrators: innernet's `/v1/admin/*`, and ours."""

from typing import Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put

from innerd import __version__
from innerd.api.carry import body_of, carry_out, json, session_of
from innerd.api.reports import actor_name, audit_page, convergence_of
from innerd.api.services import Services, Wired
from innerd.coordinator.history import network_at, revision_at
from innerd.coordinator.history import sight as sight_of
from innerd.coordinator.writer import Render
from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.cidrs import find_cidr
from innerd.domain.errors import Refused
from innerd.domain.network import Network, Peer
from innerd.domain.peers import find_peer
from innerd.domain.values import parse_address, parse_endpoint, parse_name, parse_public_key, parse_range
from innerd.domain.values import shown as shown_text
from innerd.domain.visibility import View
from innerd.log.codec import Envelope
from innerd.presence import Presence
from innerd.wire import innernet, ours

Asgi = Request[Any, Any, Any]


def _cidr_name(text: str) -> Any:
    return parse_name(text, "CIDR name")


# -- peers ----------------------------------------------------------------------------------------------------


@get("/v1/admin/peers", operation_id="ListPeers", summary="All peers")
async def list_peers(services: Wired) -> Response[bytes]:
    view = services.writer.view
    peers = [innernet.peer_json(view, view.network.peers[n], services.presence) for n in sorted(view.network.peers)]
    return json(peers, view.network.revision)


@post(
    "/v1/admin/peers",
    operation_id="AddPeer",
    summary="Add a peer",
    opt={"body": innernet.PeerContents},
    status_code=201,
)
async def add_peer(request: Asgi, services: Wired) -> Response[bytes]:
    contents: innernet.PeerContents = await body_of(request, innernet.PeerContents)
    innernet.candidates_of(contents.candidates, most=1000)
    expires = contents.expiry()
    command = c.AddPeer(
        name=parse_name(contents.name, "peer name"),
        cidr=contents.cidr_id,
        ip=None if contents.ip is None else parse_address(contents.ip),
        public_key=parse_public_key(contents.public_key),
        is_admin=contents.is_admin,
        is_disabled=contents.is_disabled,
        is_redeemed=contents.is_redeemed,
        invite_expires=None if expires is None else expires.secs_since_epoch,
        endpoint=None if contents.endpoint is None else parse_endpoint(contents.endpoint),
    )
    return await carry_out(request, services, command, _added_peer(contents))


def _added_peer(contents: innernet.PeerContents) -> Render:
    """innernet echoes what was posted, with the id; we say the address that was given and the narrowest CIDR."""

    def render(network: Network, happened: tuple[e.AnyEvent, ...]) -> tuple[int, bytes]:
        added = next(event for event in happened if isinstance(event, e.PeerAdded))
        peer = network.peers[added.id]
        echo = innernet.PeerJson(
            id=peer.id,
            name=peer.name,
            ip=str(peer.ip),
            cidr_id=network.cidr_of(peer.ip).id,
            public_key=peer.public_key,
            endpoint=peer.endpoint,
            persistent_keepalive_interval=contents.persistent_keepalive_interval,
            is_admin=peer.is_admin,
            is_disabled=peer.is_disabled,
            is_redeemed=peer.is_redeemed,
            invite_expires=contents.expiry(),
            candidates=contents.candidates,
        )
        return 201, bytes(json(echo).content)

    return render


@put(
    "/v1/admin/peers/{id:int}",
    operation_id="PutPeer",
    summary="Name, endpoint, admin and disabled of a peer, as innernet's clients write them",
    opt={"body": innernet.PeerContents},
    status_code=200,
)
async def put_peer(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    """innernet's clients put back what they listed, learned endpoints included: those change nothing."""
    contents: innernet.PeerContents = await body_of(request, innernet.PeerContents)
    innernet.candidates_of(contents.candidates, most=1000)
    if contents.ip is not None:
        parse_address(contents.ip)
    peer = find_peer(services.writer.network, id)
    endpoint = None if contents.endpoint is None else parse_endpoint(contents.endpoint)
    put_back = endpoint is not None and (
        services.presence.was_learned(id, endpoint) or endpoint == services.presence.shown_endpoint(id, peer.endpoint)
    )
    if peer.id == 1 and endpoint is None:
        put_back = True  # the coordinator always has one
    name = None if contents.name == peer.name else parse_name(contents.name, "peer name")
    command = c.ChangePeer(id=id, name=name, is_admin=contents.is_admin, is_disabled=contents.is_disabled)
    if not put_back:
        command = c.ChangePeer(
            id=id, name=name, is_admin=contents.is_admin, is_disabled=contents.is_disabled, endpoint=endpoint
        )
    return await carry_out(request, services, command)


@patch(
    "/v1/admin/peers/{id:int}",
    operation_id="ChangePeer",
    summary="Change what is given of a peer",
    opt={"body": ours.PeerChange},
    status_code=200,
)
async def patch_peer(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    change: ours.PeerChange = await body_of(request, ours.PeerChange)
    command = c.ChangePeer(
        id=id,
        name=None if change.name is None else parse_name(change.name, "peer name"),
        is_admin=change.is_admin,
        is_disabled=change.is_disabled,
        endpoint=parse_endpoint(change.endpoint) if isinstance(change.endpoint, str) else change.endpoint,
    )
    return await carry_out(request, services, command)


@delete(
    "/v1/admin/peers/{id:int}",
    operation_id="RemovePeer",
    summary="Disable a peer (innernet's meaning); with remove=true delete or retire it",
    status_code=200,
)
async def delete_peer(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    remove = request.query_params.get("remove") == "true"
    return await carry_out(request, services, c.RemovePeer(id) if remove else c.DisablePeer(id))


@post(
    "/v1/admin/peers/{id:int}/reissue",
    operation_id="ReissueInvitation",
    summary="A new temporary key for a peer that has not redeemed",
    opt={"body": ours.Reissue},
    status_code=200,
)
async def reissue(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    contents: ours.Reissue = await body_of(request, ours.Reissue)
    command = c.ReissueInvitation(id, parse_public_key(contents.public_key), contents.invite_expires)
    return await carry_out(request, services, command)


# -- CIDRs ----------------------------------------------------------------------------------------------------


@get("/v1/admin/cidrs", operation_id="ListCidrs", summary="All CIDRs")
async def list_cidrs(services: Wired) -> Response[bytes]:
    network = services.writer.network
    return json(innernet.cidrs_json(network), network.revision)


@post(
    "/v1/admin/cidrs",
    operation_id="AddCidr",
    summary="Add a CIDR",
    opt={"body": innernet.CidrContents},
    status_code=201,
)
async def add_cidr(request: Asgi, services: Wired) -> Response[bytes]:
    contents: innernet.CidrContents = await body_of(request, innernet.CidrContents)
    command = c.AddCidr(_cidr_name(contents.name), parse_range(contents.cidr), contents.parent)

    def render(network: Network, happened: tuple[e.AnyEvent, ...]) -> tuple[int, bytes]:
        added = next(event for event in happened if isinstance(event, e.CidrCreated))
        return 201, bytes(json(innernet.cidr_json(network.cidrs[added.id])).content)

    return await carry_out(request, services, command, render)


@put(
    "/v1/admin/cidrs/{id:int}",
    operation_id="RenameCidr",
    summary="Rename a CIDR (nothing else of it can change)",
    opt={"body": innernet.CidrContents},
    status_code=200,
)
async def put_cidr(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    contents: innernet.CidrContents = await body_of(request, innernet.CidrContents)
    parse_range(contents.cidr)
    find_cidr(services.writer.network, id)
    return await carry_out(request, services, c.RenameCidr(id, _cidr_name(contents.name)))


@delete("/v1/admin/cidrs/{id:int}", operation_id="DeleteCidr", summary="Delete an empty CIDR", status_code=200)
async def delete_cidr(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    return await carry_out(request, services, c.DeleteCidr(id))


# -- associations ---------------------------------------------------------------------------------------------


@get("/v1/admin/associations", operation_id="ListAssociations", summary="All associations")
async def list_associations(services: Wired) -> Response[bytes]:
    network = services.writer.network
    found = [innernet.association_json(network.associations[n]) for n in sorted(network.associations)]
    return json(found, network.revision)


@post(
    "/v1/admin/associations",
    operation_id="AddAssociation",
    summary="Associate two CIDRs",
    opt={"body": innernet.AssociationContents},
    status_code=201,
)
async def add_association(request: Asgi, services: Wired) -> Response[bytes]:
    contents: innernet.AssociationContents = await body_of(request, innernet.AssociationContents)
    network = services.writer.network
    for number in (contents.cidr_id_1, contents.cidr_id_2):
        if number not in network.cidrs:  # a constraint to innernet, not a path: 400, not 404
            raise _unknown_end(number)
    command = c.AddAssociation(contents.cidr_id_1, contents.cidr_id_2)
    return await carry_out(request, services, command, lambda network, happened: (201, b""))


def _unknown_end(number: int) -> Exception:
    return Refused("invalid_request", f"there is no CIDR with id {number}")


@delete(
    "/v1/admin/associations/{id:int}",
    operation_id="DeleteAssociation",
    summary="Delete an association",
    status_code=200,
)
async def delete_association(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    return await carry_out(request, services, c.DeleteAssociation(id))


# -- the network as a whole -----------------------------------------------------------------------------------


@put(
    "/v1/admin/endpoint",
    operation_id="SetNetworkEndpoint",
    summary="Where peers reach the coordinator from now on",
    opt={"body": ours.EndpointChange},
    status_code=200,
)
async def set_endpoint(request: Asgi, services: Wired) -> Response[bytes]:
    contents: ours.EndpointChange = await body_of(request, ours.EndpointChange)
    return await carry_out(request, services, c.SetNetworkEndpoint(parse_endpoint(contents.endpoint)))


@get("/v1/network", operation_id="Network", summary="Everything, at the newest revision or as it was (at)")
async def network(request: Asgi, services: Wired) -> Response[bytes]:
    view, soft = services.writer.view, services.presence
    at = request.query_params.get("at")
    if at is not None:
        revision = await revision_at(services.writer.store, view.network.revision, services.clock(), at)
        view, soft = View.of(await network_at(services.writer.store, revision)), Presence()  # none was kept
    shown = ours.network_json(view, soft, services.clock(), services.internal_endpoint)
    return json(shown, view.network.revision)


@get("/v1/why", operation_id="Why", summary="Whether two peers see each other, by which rule, since which event")
async def why(request: Asgi, services: Wired) -> Response[bytes]:
    """Administrators ask about any pair and any time; a peer about itself and whom it sees, now: for it, who is out of
    sight does not exist."""
    writer, asks = services.writer, session_of(request)
    network, head = writer.network, writer.network.revision
    at = request.query_params.get("at")
    if at is not None:
        if not asks.admin_capable():
            raise Refused("not_admin", "only administrators may look back")
        head = await revision_at(writer.store, head, services.clock(), at)
        network = await network_at(writer.store, head)
    asked = dict(request.query_params)
    if "a" in asked and "b" not in asked and asks.peer is not None:  # itself and the one named
        asked = {"a": asks.peer.name, "b": asked["a"]}
    one, other = (_named(network, asked.get(name), name, is_admin=asks.admin_capable()) for name in ("a", "b"))
    if not asks.admin_capable():
        own = asks.peer
        seen = writer.view.sees
        for peer in (one, other):
            if peer.id != own.id and not seen(own, peer):
                raise _nobody()
        if own.id not in (one.id, other.id):
            raise Refused("not_admin", "only administrators may ask about others")
    if one.id == other.id:
        raise Refused("invalid_request", f'"{one.name}" and "{other.name}" are one peer')
    sight = await sight_of(writer.store, one.id, other.id, head)
    return json(ours.why_json(one.name, other.name, head, sight.reason, _made(sight.since, writer.network)), head)


def _named(network: Network, name: str | None, parameter: str, *, is_admin: bool) -> Peer:
    if name is None:
        raise Refused("invalid_request", f"the name of a peer is missing ({parameter})", "name two peers")
    peer = network.peer_named(name)
    if peer is None:
        raise _nobody(name if is_admin else None)
    return peer


def _nobody(name: str | None = None) -> Refused:
    """To who is no administrator the very same, whether a peer is out of sight or was never there."""
    return Refused(
        "peer_not_found", "there is no such peer" if name is None else f"there is no peer {shown_text(name)}"
    )


def _made(since: Envelope | None, network: Network) -> ours.MadeBy | None:
    if since is None:
        return None
    actor = actor_name(since.actor, network)
    return ours.MadeBy(seq=since.seq, at=since.at, type=since.type, actor=since.actor, actor_name=actor)


@post("/v1/admin/rebuild", operation_id="Rebuild", summary="Make the read models anew from the log", status_code=200)
async def rebuild(request: Asgi, services: Wired) -> Response[bytes]:
    """No change of the network: there is nothing to try dry or to be late for."""
    if request.query_params.get("dry_run") == "true":
        raise Refused("invalid_request", "a rebuild can't be tried dry: it changes nothing that the log does not say")
    return json({"differing": await services.writer.rebuild(), "revision": services.writer.network.revision})


@get("/v1/admin/status", operation_id="Status", summary="How the coordinator is")
async def status(services: Wired) -> Response[bytes]:
    view = services.writer.view
    return json(_status(services, view), view.network.revision)


def _status(services: Services, view: View) -> ours.Status:
    network, now = view.network, services.clock()
    active = [peer for peer in network.peers.values() if peer.is_active and peer.id != 1]
    behind = [p.name for p in convergence_of(view, services.presence, services.writer.feed, now) if p.state == "behind"]
    return ours.Status(
        network=network.name,
        id=network.id,
        generation=network.generation,
        revision=network.revision,
        head=services.writer.head_hash,
        version=__version__,
        is_serving=services.is_serving,
        started=services.started,
        peers=len(active),
        online=sum(services.presence.is_online(peer.id, now) for peer in active),
        streams=len(services.hub.streams),
        lagging=behind,
        endpoint=network.coordinator.endpoint,
        device_errors=services.device_errors(),
        follower_errors=services.writer.feed.errors,
    )


@get("/v1/admin/convergence", operation_id="Convergence", summary="Which peers have applied which revision")
async def convergence(services: Wired) -> Response[bytes]:
    view = services.writer.view
    peers = convergence_of(view, services.presence, services.writer.feed, services.clock())
    return json(ours.Convergence(revision=view.network.revision, peers=peers), view.network.revision)


@get("/v1/admin/events", operation_id="Audit", summary="The log: who did what, when, to what")
async def audit(request: Asgi, services: Wired) -> Response[bytes]:
    page = await audit_page(services.writer, dict(request.query_params))
    if "application/x-ndjson" in request.headers.get("accept", ""):
        lines = b"".join(msgspec.json.encode(record) + b"\n" for record in page.events)
        return Response(lines, media_type="application/x-ndjson", headers={"ETag": f'"{page.revision}"'})
    return json(page, page.revision)


ROUTES = [
    list_peers,
    add_peer,
    put_peer,
    patch_peer,
    delete_peer,
    reissue,
    list_cidrs,
    add_cidr,
    put_cidr,
    delete_cidr,
    list_associations,
    add_association,
    delete_association,
    set_endpoint,
    network,
    why,
    rebuild,
    status,
    convergence,
    audit,
]

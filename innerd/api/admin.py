"""The routes by which administrators change the network, and its lists: innernet's `/v1/admin/*`, and ours."""

from typing import Any

import msgspec

from innerd.api.handling import carry_out
from innerd.api.routing import Answer, Request, json, route
from innerd.api.services import Services
from innerd.api.slices import encoded
from innerd.coordinator.writer import Render
from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.cidrs import find_cidr
from innerd.domain.errors import Refused
from innerd.domain.network import Network
from innerd.domain.peers import find_peer, find_plain
from innerd.domain.values import parse_address, parse_endpoint, parse_name, parse_public_key, parse_range
from innerd.wire import innernet, ours, reach


def _cidr_name(text: str) -> Any:
    return parse_name(text, "CIDR name")


# -- peers ----------------------------------------------------------------------------------------------------


@route("GET", "/v1/admin/peers", "ListPeers", "All peers", answer=list[innernet.PeerJson])
async def list_peers(request: Request, services: Services) -> Answer:
    view = services.writer.view
    peers = await encoded(view.network.by_id(), lambda p: innernet.peer_json(view, p, services.presence))
    return json(peers, view.network.revision)


@route(
    "POST", "/v1/admin/peers", "AddPeer", "Add a peer", answer=innernet.PeerJson, body=innernet.PeerContents, status=201
)
async def add_peer(request: Request, services: Services) -> Answer:
    contents: innernet.PeerContents = request.read(innernet.PeerContents)
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
        is_plain=contents.is_plain,
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
        return 201, msgspec.json.encode(echo)

    return render


@route("GET", "/v1/admin/peers/{id}/config", "PlainConfig", "What a plain peer's file says", answer=reach.PlainConfig)
async def plain_config(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    view = services.writer.view
    found = reach.plain_config(view, find_plain(view.network, id), services.internal_endpoint, services.suffix)
    return json(found, view.network.revision)


@route(
    "POST",
    "/v1/admin/peers/{id}/config",
    "WriteConfig",
    "Note that a plain peer's file was written, as the network is now",
    status=204,
)
async def write_config(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    return await carry_out(request, services, c.WriteConfig(id))


@route(
    "PUT",
    "/v1/admin/peers/{id}",
    "PutPeer",
    "Name, endpoint, admin and disabled of a peer, as innernet's clients write them",
    body=innernet.PeerContents,
    status=204,
)
async def put_peer(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    """innernet's clients put back what they listed, learned endpoints included: those change nothing."""
    contents: innernet.PeerContents = request.read(innernet.PeerContents)
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


@route(
    "PATCH", "/v1/admin/peers/{id}", "ChangePeer", "Change what is given of a peer", body=ours.PeerChange, status=204
)
async def patch_peer(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    change: ours.PeerChange = request.read(ours.PeerChange)
    command = c.ChangePeer(
        id=id,
        name=None if change.name is None else parse_name(change.name, "peer name"),
        is_admin=change.is_admin,
        is_disabled=change.is_disabled,
        endpoint=parse_endpoint(change.endpoint) if isinstance(change.endpoint, str) else change.endpoint,
    )
    return await carry_out(request, services, command)


@route(
    "DELETE",
    "/v1/admin/peers/{id}",
    "RemovePeer",
    "Disable a peer (innernet's meaning); with remove=true delete or retire it",
    status=204,
)
async def delete_peer(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    remove = request.query.get("remove") == "true"
    return await carry_out(request, services, c.RemovePeer(id) if remove else c.DisablePeer(id))


@route(
    "POST",
    "/v1/admin/peers/{id}/reissue",
    "ReissueInvitation",
    "A new temporary key for a peer that has not redeemed",
    body=ours.Reissue,
    status=204,
)
async def reissue(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    contents: ours.Reissue = request.read(ours.Reissue)
    command = c.ReissueInvitation(id, parse_public_key(contents.public_key), contents.invite_expires)
    return await carry_out(request, services, command)


# -- CIDRs ----------------------------------------------------------------------------------------------------


@route("GET", "/v1/admin/cidrs", "ListCidrs", "All CIDRs", answer=list[innernet.CidrJson])
async def list_cidrs(request: Request, services: Services) -> Answer:
    network = services.writer.network
    return json(innernet.cidrs_json(network), network.revision)


@route(
    "POST", "/v1/admin/cidrs", "AddCidr", "Add a CIDR", answer=innernet.CidrJson, body=innernet.CidrContents, status=201
)
async def add_cidr(request: Request, services: Services) -> Answer:
    contents: innernet.CidrContents = request.read(innernet.CidrContents)
    command = c.AddCidr(_cidr_name(contents.name), parse_range(contents.cidr), contents.parent)

    def render(network: Network, happened: tuple[e.AnyEvent, ...]) -> tuple[int, bytes]:
        added = next(event for event in happened if isinstance(event, e.CidrCreated))
        return 201, msgspec.json.encode(innernet.cidr_json(network.cidrs[added.id]))

    return await carry_out(request, services, command, render)


@route(
    "PUT",
    "/v1/admin/cidrs/{id}",
    "RenameCidr",
    "Rename a CIDR (nothing else of it can change)",
    body=innernet.CidrContents,
    status=204,
)
async def put_cidr(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    contents: innernet.CidrContents = request.read(innernet.CidrContents)
    parse_range(contents.cidr)
    find_cidr(services.writer.network, id)
    return await carry_out(request, services, c.RenameCidr(id, _cidr_name(contents.name)))


@route(
    "DELETE",
    "/v1/admin/cidrs/{id}",
    "DeleteCidr",
    "Delete an empty CIDR; with merge=true one with peers, which the CIDR around it gets back",
    status=204,
)
async def delete_cidr(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    return await carry_out(request, services, c.DeleteCidr(id, merge=request.query.get("merge") == "true"))


# -- associations ---------------------------------------------------------------------------------------------


@route("GET", "/v1/admin/associations", "ListAssociations", "All associations", answer=list[innernet.AssociationJson])
async def list_associations(request: Request, services: Services) -> Answer:
    network = services.writer.network
    found = [innernet.association_json(network.associations[n]) for n in sorted(network.associations)]
    return json(found, network.revision)


@route(
    "POST",
    "/v1/admin/associations",
    "AddAssociation",
    "Associate two CIDRs",
    body=innernet.AssociationContents,
    status=201,
)
async def add_association(request: Request, services: Services) -> Answer:
    contents: innernet.AssociationContents = request.read(innernet.AssociationContents)
    network = services.writer.network
    for number in (contents.cidr_id_1, contents.cidr_id_2):
        if number not in network.cidrs:  # a constraint to innernet, not a path: 400, not 404
            raise _unknown_end(number)
    command = c.AddAssociation(contents.cidr_id_1, contents.cidr_id_2)
    return await carry_out(request, services, command, lambda network, happened: (201, b""))


def _unknown_end(number: int) -> Exception:
    return Refused("invalid_request", f"there is no CIDR with id {number}")


@route("DELETE", "/v1/admin/associations/{id}", "DeleteAssociation", "Delete an association", status=204)
async def delete_association(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    return await carry_out(request, services, c.DeleteAssociation(id))


# -- records ---------------------------------------------------------------------------------------------------


@route(
    "GET",
    "/v1/admin/records",
    "ListRecords",
    "All DNS records beside the names of peers",
    answer=list[ours.NetworkRecord],
)
async def list_records(request: Request, services: Services) -> Answer:
    network = services.writer.network
    return json(ours.records_json(network), network.revision)


@route(
    "POST",
    "/v1/admin/records",
    "AddRecord",
    "Add a DNS record",
    answer=list[ours.NetworkRecord],
    body=ours.RecordContents,
    status=201,
)
async def add_record(request: Request, services: Services) -> Answer:
    contents: ours.RecordContents = request.read(ours.RecordContents)
    command = c.AddRecord(name=contents.name, rrtype=contents.type, value=contents.value)

    def made(network: Network, happened: tuple[e.AnyEvent, ...]) -> tuple[int, bytes]:
        numbers = {event.id for event in happened if isinstance(event, e.RecordAdded)}
        return 201, msgspec.json.encode([record for record in ours.records_json(network) if record.id in numbers])

    return await carry_out(request, services, command, made)


@route("DELETE", "/v1/admin/records/{id}", "DeleteRecord", "Delete a DNS record", status=204)
async def delete_record(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    return await carry_out(request, services, c.DeleteRecord(id))


# -- the network as a whole -----------------------------------------------------------------------------------


@route(
    "PUT",
    "/v1/admin/endpoint",
    "SetNetworkEndpoint",
    "Where peers reach the coordinator from now on",
    body=ours.EndpointChange,
    status=204,
)
async def set_endpoint(request: Request, services: Services) -> Answer:
    contents: ours.EndpointChange = request.read(ours.EndpointChange)
    return await carry_out(request, services, c.SetNetworkEndpoint(parse_endpoint(contents.endpoint)))


@route("PUT", "/v1/admin/relays/{id}", "AllowRelay", "Let a peer relay", status=204)
async def allow_relay(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    return await carry_out(request, services, c.AllowRelay(id))


@route("DELETE", "/v1/admin/relays/{id}", "DisallowRelay", "Let a peer relay no more", status=204)
async def disallow_relay(request: Request, services: Services, id: int) -> Answer:  # noqa: A002
    return await carry_out(request, services, c.DisallowRelay(id))


@route("POST", "/v1/admin/rebuild", "Rebuild", "Make the read models anew from the log", answer=ours.Rebuilt)
async def rebuild(request: Request, services: Services) -> Answer:
    """No change of the network: there is nothing to try dry or to be late for."""
    if request.query.get("dry_run") == "true":
        raise Refused("invalid_request", "a rebuild can't be tried dry: it changes nothing that the log does not say")
    differing, damage = await services.writer.upkeep.rebuild()
    return json(ours.Rebuilt(differing=differing, damage=damage, revision=services.writer.network.revision))


ROUTES = [
    list_peers,
    add_peer,
    put_peer,
    patch_peer,
    delete_peer,
    reissue,
    plain_config,
    write_config,
    list_cidrs,
    add_cidr,
    put_cidr,
    delete_cidr,
    list_associations,
    add_association,
    delete_association,
    list_records,
    add_record,
    delete_record,
    set_endpoint,
    allow_relay,
    disallow_relay,
    rebuild,
]

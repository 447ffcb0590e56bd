"""The routes by which administrators change the network, and its lists: innernet's `/v1/admin/*`, and ours."""

from typing import Any

import msgspec
from litestar import Response, delete, get, patch, post, put

from innerd.api.handling import Asgi, body_of, carry_out, json
from innerd.api.services import Wired
from innerd.coordinator.writer import Render
from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.cidrs import find_cidr
from innerd.domain.errors import Refused
from innerd.domain.network import Network
from innerd.domain.peers import find_peer
from innerd.domain.values import parse_address, parse_endpoint, parse_name, parse_public_key, parse_range
from innerd.wire import innernet, ours


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


@delete(
    "/v1/admin/cidrs/{id:int}",
    operation_id="DeleteCidr",
    summary="Delete an empty CIDR; with merge=true one with peers, which the CIDR around it gets back",
    status_code=200,
)
async def delete_cidr(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    return await carry_out(request, services, c.DeleteCidr(id, merge=request.query_params.get("merge") == "true"))


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


# -- records ---------------------------------------------------------------------------------------------------


@get("/v1/admin/records", operation_id="ListRecords", summary="All DNS records beside the names of peers")
async def list_records(services: Wired) -> Response[bytes]:
    network = services.writer.network
    return json(ours.records_json(network), network.revision)


@post(
    "/v1/admin/records",
    operation_id="AddRecord",
    summary="Add a DNS record",
    opt={"body": ours.RecordContents},
    status_code=201,
)
async def add_record(request: Asgi, services: Wired) -> Response[bytes]:
    contents: ours.RecordContents = await body_of(request, ours.RecordContents)
    command = c.AddRecord(name=contents.name, rrtype=contents.type, value=contents.value)

    def made(network: Network, happened: tuple[e.AnyEvent, ...]) -> tuple[int, bytes]:
        numbers = {event.id for event in happened if isinstance(event, e.RecordAdded)}
        return 201, msgspec.json.encode([record for record in ours.records_json(network) if record.id in numbers])

    return await carry_out(request, services, command, made)


@delete("/v1/admin/records/{id:int}", operation_id="DeleteRecord", summary="Delete a DNS record", status_code=200)
async def delete_record(request: Asgi, services: Wired, id: int) -> Response[bytes]:  # noqa: A002
    return await carry_out(request, services, c.DeleteRecord(id))


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


@post("/v1/admin/rebuild", operation_id="Rebuild", summary="Make the read models anew from the log", status_code=200)
async def rebuild(request: Asgi, services: Wired) -> Response[bytes]:
    """No change of the network: there is nothing to try dry or to be late for."""
    if request.query_params.get("dry_run") == "true":
        raise Refused("invalid_request", "a rebuild can't be tried dry: it changes nothing that the log does not say")
    differing, damage = await services.writer.upkeep.rebuild()
    return json({"differing": differing, "damage": damage, "revision": services.writer.network.revision})


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
    list_records,
    add_record,
    delete_record,
    set_endpoint,
    rebuild,
]

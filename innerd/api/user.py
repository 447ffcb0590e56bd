"""The routes of peers: innernet's `/v1/user/*`, and the receipt."""

import structlog

from innerd import __version__
from innerd.api.handling import carry_out, peer_of
from innerd.api.routing import Answer, Request, etag, json, route
from innerd.api.services import Services
from innerd.coordinator.presence import Receipt
from innerd.domain.commands import OverrideEndpoint, Redeem
from innerd.domain.errors import Refused
from innerd.domain.values import parse_public_key
from innerd.wire import ours
from innerd.wire.innernet import CidrJson, EndpointContents, PeerJson, RedeemContents, State, candidates_of

_log = structlog.get_logger("api")


@route("GET", "/v1/user/state", "UserState", "What the peer may see, itself included", answer=State[PeerJson, CidrJson])
async def state(request: Request, services: Services) -> Answer:
    view = services.writer.view
    peer = view.network.peers[peer_of(request).id]
    body = services.hub.frames.state(view, peer)
    return Answer(body=body, headers=etag(view.network.revision))


@route("GET", "/v1/user/capabilities", "UserCapabilities", "What this coordinator can do", answer=ours.Capabilities)
async def capabilities(request: Request, services: Services) -> Answer:
    network = services.writer.network
    return json(
        ours.Capabilities(
            network=network.name,
            network_id=network.id,
            suffix=services.suffix,
            admin_proof="required" if services.proof_required else "optional",
            version=__version__,
        )
    )


@route(
    "POST", "/v1/user/redeem", "Redeem", "Swap the invitation's key for the peer's own", body=RedeemContents, status=204
)
async def redeem(request: Request, services: Services) -> Answer:
    """The new key is on the device before the answer: clients swap keys the moment they have it."""
    contents = request.read(RedeemContents)
    return await carry_out(request, services, Redeem(peer_of(request).id, parse_public_key(contents.public_key)))


@route(
    "PUT",
    "/v1/user/endpoint",
    "OverrideOwnEndpoint",
    "Override or clear the peer's own endpoint",
    body=EndpointContents,
    status=204,
)
async def endpoint(request: Request, services: Services) -> Answer:
    contents = request.read(EndpointContents)
    wanted = contents.endpoint(services.writer.network.root.range)
    return await carry_out(request, services, OverrideEndpoint(peer_of(request).id, wanted))


@route(
    "PUT",
    "/v1/user/candidates",
    "ReportCandidates",
    "Report addresses where the peer may be reached",
    body=list[str],
    status=204,
)
async def candidates(request: Request, services: Services) -> Answer:
    reported = candidates_of(request.read(list[str]), services.writer.network.root.range)
    services.presence.report_candidates(peer_of(request).id, reported)
    return Answer(204)


@route(
    "PUT",
    "/v1/user/applied",
    "ReportApplied",
    "The receipt: this peer's device matches a revision",
    body=ours.Applied,
    status=204,
)
async def applied(request: Request, services: Services) -> Answer:
    receipt = request.read(ours.Applied)
    shown = services.presence.shown.get(peer_of(request).id, 0)
    if receipt.revision > shown:
        _log.warning("a receipt is ahead of what its peer was told", peer=peer_of(request).name, shown=shown)
        raise Refused("receipt_ahead", f"revision {receipt.revision} was not told to this peer, only up to {shown}")
    refused = tuple((told.peer, told.reason) for told in receipt.refused)
    services.presence.report_applied(peer_of(request).id, Receipt(receipt.revision, services.clock(), refused))
    return Answer(204)


@route(
    "POST",
    "/v1/user/router",
    "TestRouter",
    "Have it found out whether the router in front of this peer minds strangers",
    body=ours.RouterTest,
    answer=ours.RouterTested,
)
async def router(request: Request, services: Services) -> Answer:
    """A packet goes there from a socket of the coordinator that the peer does not know; then the peer sends its nonce
    from there to that socket's port."""
    test = request.read(ours.RouterTest)
    port = await services.hub.strangers.ask(peer_of(request), test.port, test.nonce.encode())
    return json(ours.RouterTested(port=port))


@route(
    "POST",
    "/v1/user/connect",
    "Connect",
    "Ask for a moment at which both begin to look for a way to each other",
    body=ours.ConnectTo,
    status=204,
)
async def connect(request: Request, services: Services) -> Answer:
    """Both hear of it on their streams (`connect`), if both hold one."""
    await services.hub.rendezvous.ask(peer_of(request), (request.read(ours.ConnectTo)).peer)
    return Answer(204)


ROUTES = [connect, router, state, capabilities, redeem, endpoint, candidates, applied]

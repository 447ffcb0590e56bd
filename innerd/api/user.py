"""The routes of peers: innernet's `/v1/user/*`, and the receipt."""

import structlog
from litestar import Response, get, post, put

from innerd import __version__
from innerd.api.handling import Asgi, body_of, carry_out, empty, json, peer_of
from innerd.api.services import Wired
from innerd.coordinator.presence import Receipt
from innerd.domain.commands import OverrideEndpoint, Redeem
from innerd.domain.errors import Refused
from innerd.domain.values import parse_public_key
from innerd.wire import ours
from innerd.wire.innernet import EndpointContents, RedeemContents, candidates_of

_log = structlog.get_logger("api")


@get("/v1/user/state", operation_id="UserState", summary="What the peer may see, itself included")
async def state(request: Asgi, services: Wired) -> Response[bytes]:
    view = services.writer.view
    peer = view.network.peers[peer_of(request).id]
    body = services.hub.frames.state(view, peer)
    return Response(body, media_type="application/json", headers={"ETag": f'"{view.network.revision}"'})


@get("/v1/user/capabilities", operation_id="UserCapabilities", summary="What this coordinator can do")
async def capabilities(services: Wired) -> Response[bytes]:
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


@post(
    "/v1/user/redeem",
    operation_id="Redeem",
    summary="Swap the invitation's key for the peer's own",
    opt={"body": RedeemContents},
    status_code=200,
)
async def redeem(request: Asgi, services: Wired) -> Response[bytes]:
    """The new key is on the device before the answer: clients swap keys the moment they have it."""
    contents = await body_of(request, RedeemContents)
    return await carry_out(request, services, Redeem(peer_of(request).id, parse_public_key(contents.public_key)))


@put(
    "/v1/user/endpoint",
    operation_id="OverrideOwnEndpoint",
    summary="Override or clear the peer's own endpoint",
    opt={"body": EndpointContents},
    status_code=200,
)
async def endpoint(request: Asgi, services: Wired) -> Response[bytes]:
    contents = await body_of(request, EndpointContents)
    wanted = contents.endpoint(services.writer.network.root.range)
    return await carry_out(request, services, OverrideEndpoint(peer_of(request).id, wanted))


@put(
    "/v1/user/candidates",
    operation_id="ReportCandidates",
    summary="Report addresses where the peer may be reached",
    opt={"body": list[str]},
    status_code=200,
)
async def candidates(request: Asgi, services: Wired) -> Response[bytes]:
    reported = candidates_of(await body_of(request, list[str]), services.writer.network.root.range)
    services.presence.report_candidates(peer_of(request).id, reported)
    return empty(204)


@put(
    "/v1/user/applied",
    operation_id="ReportApplied",
    summary="The receipt: this peer's device matches a revision",
    opt={"body": ours.Applied},
    status_code=200,
)
async def applied(request: Asgi, services: Wired) -> Response[bytes]:
    receipt = await body_of(request, ours.Applied)
    shown = services.presence.shown.get(peer_of(request).id, 0)
    if receipt.revision > shown:
        _log.warning("a receipt is ahead of what its peer was told", peer=peer_of(request).name, shown=shown)
        raise Refused("receipt_ahead", f"revision {receipt.revision} was not told to this peer, only up to {shown}")
    refused = tuple((told.peer, told.reason) for told in receipt.refused)
    services.presence.report_applied(peer_of(request).id, Receipt(receipt.revision, services.clock(), refused))
    return empty(204)


@post(
    "/v1/user/connect",
    operation_id="Connect",
    summary="Ask for a moment at which both begin to look for a way to each other",
    opt={"body": ours.ConnectTo},
    status_code=200,
)
async def connect(request: Asgi, services: Wired) -> Response[bytes]:
    """Both hear of it on their streams (`connect`), if both hold one."""
    await services.hub.rendezvous.ask(peer_of(request), (await body_of(request, ours.ConnectTo)).peer)
    return empty(204)


ROUTES = [connect, state, capabilities, redeem, endpoint, candidates, applied]

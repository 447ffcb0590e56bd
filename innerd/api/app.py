"""The app: all routes, and the gate in front of them."""

from functools import cache

from innerd.api import admin, inspect, user
from innerd.api.callers import peer_at
from innerd.api.describe import described
from innerd.api.gate import Gate
from innerd.api.routing import Answer, Request, route
from innerd.api.services import Services
from innerd.domain.errors import Refused


@route("GET", "/healthz", "Health", "Whether the coordinator serves", kind="text/plain; charset=utf-8")
async def healthz(request: Request, services: Services) -> Answer:
    return Answer(body=b"ok\n", kind="text/plain; charset=utf-8")


@route("GET", "/metrics", "Metrics", "Prometheus metrics, for allowed peers", kind="text/plain; version=0.0.4")
async def metrics(request: Request, services: Services) -> Answer:
    client = request.scope["client"]
    if client is None:
        raise Refused("unauthorized", "there is no source address")
    if not client[0].startswith("local:"):
        peer = peer_at(services, client[0])
        if not peer.is_active or services.is_redeeming(peer) or not services.may_read_metrics(peer):
            raise Refused("unauthorized", "this peer may not read metrics", "see [metrics] allow in the configuration")
    return Answer(body=await services.render_metrics(), kind="text/plain; version=0.0.4; charset=utf-8")


@route("GET", "/openapi.json", "OpenApi", "This description")
async def openapi(request: Request, services: Services) -> Answer:
    return Answer(body=description())


ROUTES = (healthz, metrics, openapi, *user.ROUTES, *admin.ROUTES, *inspect.ROUTES)


@cache
def description() -> bytes:
    """The OpenAPI document. Made once: it takes the time of many requests."""
    return described(tuple(route for route in ROUTES if route is not openapi))


def create_app(services: Services) -> Gate:
    """The ASGI app of a coordinator."""
    return Gate(ROUTES, services)

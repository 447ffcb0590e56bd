"""The app: the routes, how errors come out, the OpenAPI description; `create_app` puts the gate in front."""

from functools import cache
from typing import Any

import msgspec
import structlog
from litestar import Litestar, Response, get
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.types import Scope

from innerd import __version__
from innerd.api import admin, inspect, user
from innerd.api.asgi import SERVICES
from innerd.api.callers import peer_at
from innerd.api.gate import Gate
from innerd.api.handling import Asgi
from innerd.api.services import Services, Wired
from innerd.domain.errors import Refused
from innerd.wire import problems

_log = structlog.get_logger("api")


# Declared as 200, because Litestar lets no handler of a 204 answer by itself (a dry run does, with a body).
_EMPTY = {
    str(handler.operation_id)
    for handler in (*admin.ROUTES, *inspect.ROUTES, *user.ROUTES)
    if handler.http_methods & {"PUT", "PATCH", "DELETE"}
    or handler.operation_id in ("Redeem", "ReissueInvitation", "Connect")
}


_STREAM = {
    "operationId": "UserEvents",
    "summary": "The event stream of the peer (server-sent events)",
    "parameters": [
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
        {"name": "since", "in": "query", "schema": {"type": "string"}},
    ],
    "responses": {"200": {"description": "Frames without end", "content": {"text/event-stream": {}}}},
}


@get("/healthz", operation_id="Health", summary="Whether the coordinator serves", media_type="text/plain")
async def healthz() -> str:
    return "ok\n"


@get("/metrics", operation_id="Metrics", summary="Prometheus metrics, for allowed peers")
async def metrics(request: Asgi, services: Wired) -> Response[bytes]:
    client = request.scope["client"]
    if client is None:
        raise Refused("unauthorized", "there is no source address")
    if not client[0].startswith("local:"):
        peer = peer_at(services, client[0])
        if not peer.is_active or services.is_redeeming(peer) or not services.may_read_metrics(peer):
            raise Refused("unauthorized", "this peer may not read metrics", "see [metrics] allow in the configuration")
    return Response(await services.render_metrics(), media_type="text/plain; version=0.0.4")


@get("/openapi.json", operation_id="OpenApi", summary="This description", include_in_schema=False)
async def openapi(request: Asgi) -> Response[bytes]:
    return Response(_described(request.app), media_type="application/json")


@cache
def _described(app: Litestar) -> bytes:
    """Made once: it takes the time of many requests."""
    return describe(app)


def describe(app: Litestar) -> bytes:
    """The OpenAPI document: Litestar's, with the request bodies, which we decode ourselves (see `wire`)."""
    schema: dict[str, Any] = app.openapi_schema.to_schema()
    bodies = [handler for handler in (*admin.ROUTES, *inspect.ROUTES, *user.ROUTES) if "body" in handler.opt]
    schemas, components = msgspec.json.schema_components(
        [handler.opt["body"] for handler in bodies], ref_template="#/components/schemas/{name}"
    )
    schema["paths"]["/v1/user/events"] = {"get": _STREAM}  # a raw handler, which Litestar does not know
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
    by_id = {str(h.operation_id): body for h, body in zip(bodies, schemas, strict=True)}
    for path in schema["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            if "200" in answers and operation.get("operationId") in _EMPTY:
                answers["204"] = {"description": "Done, or already so"}
                del answers["200"]
            body = by_id.get(operation.get("operationId", ""))
            if body is not None:
                operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return msgspec.json.encode(schema)


def _refused(request: Asgi, refused: Refused) -> Response[bytes]:
    return _problem(problems.problem(refused))


def _http_error(request: Asgi, error: HTTPException) -> Response[bytes]:
    return _problem(problems.Problem(title=error.detail, status=error.status_code, code="invalid_request"))


def _bug(request: Asgi, error: Exception) -> Response[bytes]:
    """A bug of ours: the cause goes to the log, the client gets no inside."""
    _log.exception("internal error", method=request.method, path=request.scope["path"], exc_info=error)
    return _problem(problems.Problem(title="internal error", status=500, code="internal", hint="see the log"))


def _problem(what: problems.Problem) -> Response[bytes]:
    return Response(problems.encode(what), status_code=what.status, media_type=problems.MEDIA_TYPE)


def create_app(services: Services) -> Gate:
    """The ASGI app of a coordinator."""
    return Gate(routes(), services)


@cache
def routes() -> Litestar:
    """What is behind the gate. It is built once, which takes the time of many requests, and belongs to nobody: what a
    request is answered from comes with it."""
    return Litestar(
        route_handlers=[healthz, metrics, openapi, *user.ROUTES, *admin.ROUTES, *inspect.ROUTES],
        dependencies={"services": Provide(_services, sync_to_thread=False)},
        exception_handlers={Refused: _refused, HTTPException: _http_error, Exception: _bug},
        openapi_config=OpenAPIConfig(title="innerd", version=__version__, enabled_endpoints=set()),
        logging_config=None,
        signature_types=[Services],
    )


def _services(scope: Scope) -> Services:
    found: Services = scope[SERVICES]  # type: ignore[literal-required]
    return found

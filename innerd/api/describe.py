"""The OpenAPI description of the routes (OpenAPI 3.1), made of what each of them says of itself."""

from collections.abc import Iterable
from typing import Any

import msgspec

from innerd import __version__
from innerd.api.routing import Route
from innerd.wire import problems

_REFERENCE = "#/components/schemas/{name}"
_STREAM = {
    "operationId": "UserEvents",
    "summary": "The event stream of the peer (server-sent events)",
    "parameters": [
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
        {"name": "since", "in": "query", "schema": {"type": "string"}},
    ],
    "responses": {"200": {"description": "Frames without end", "content": {"text/event-stream": {}}}},
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
_DONE = {200: "It is so", 201: "It is made", 204: "Done, or already so"}


def described(routes: Iterable[Route]) -> bytes:
    routes = list(routes)
    types = [type_ for route in routes for type_ in (route.body, route.answer) if type_ is not None]
    schemas, components = msgspec.json.schema_components([*types, problems.Problem], ref_template=_REFERENCE)
    left = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        body = None if route.body is None else next(left)
        answer = None if route.answer is None else next(left)
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, body, answer, schemas[-1])
    paths["/v1/user/events"] = {"get": _STREAM}  # past the table of routes
    info = {"title": "innerd", "version": __version__}
    document = {"openapi": "3.1.0", "info": info, "servers": [{"url": "/"}]}
    return msgspec.json.encode({**document, "paths": paths, "components": {"schemas": components}})


def _operation(route: Route, body: Any, answer: Any, problem: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary}
    if "{id}" in route.path:
        operation["parameters"] = [_ID]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    done: dict[str, Any] = {"description": _DONE[route.status]}
    if answer is not None:
        done["content"] = {route.kind: {"schema": answer}}
    elif route.method == "GET":
        done["content"] = {route.kind: {"schema": {"type": "string"}}}
    refused = {"description": "Refused, with a stable code", "content": {problems.MEDIA_TYPE: {"schema": problem}}}
    operation["responses"] = {str(route.status): done, "default": refused}
    return operation

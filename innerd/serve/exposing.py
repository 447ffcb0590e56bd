"""`[metrics] listen`: the metrics page for a Prometheus on the coordinator's own host, and nothing else."""

from innerd.api.asgi import Receive, Scope, Send
from innerd.api.services import Services
from innerd.wire.pages import why_refused

_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class MetricsOnly:
    """`where` is the address and port that it is served on."""

    def __init__(self, services: Services, where: str) -> None:
        self._services, self._where = services, where

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        refusal = why_refused(fields, self._where)
        if refusal is not None:
            return await _answer(send, 403, f"{refusal}\n".encode())
        if scope["method"] != "GET" or scope["path"] != "/metrics":
            return await _answer(send, 404, b"")
        return await _answer(send, 200, await self._services.render_metrics())


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", _TYPE),
        (b"x-content-type-options", b"nosniff"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

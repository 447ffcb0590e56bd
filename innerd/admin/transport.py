"""Requests to the coordinator over any of three ways, and answers as values or Failures.

A changing request carries an Idempotency-Key and is sent once more when its answer was lost: the coordinator
answers a repeated request as the first. Over the tunnel it carries the admin proof.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec

from innerd.admin.client import ENDLESS, Proof, client_of, no_certificates, problem_of, unheard
from innerd.admin.invitation import Parsed
from innerd.domain.unreadable import UNREADABLE
from innerd.domain.values import whole_number
from innerd.failure import REFUSED, Failure, status_of_code, unreachable
from innerd.wire.ours import NetworkJson

T = TypeVar("T")

_TIMEOUT = httpx2.Timeout(10.0, connect=4.0)
_PATIENCE, _AGAIN = 10.0, 0.1  # seconds that a coordinator is waited for whose host says that nobody listens

Explain = Callable[[], Awaitable[Failure]]  # why the coordinator could not be reached


class Response(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    revision: int | None

    def read(self, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(self.body, type=shape)
        except UNREADABLE as error:
            raise Failure(REFUSED, "answer_unreadable", f"the coordinator's answer can't be read: {error}") from error


class Api:
    """One coordinator, reachable. `own` is the address of the peer that asks, if it is one, `told` what it was told of
    its network. Close it when done."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        explain: Explain | None = None,
        own: str | None = None,
        told: Callable[[], NetworkJson | None] | None = None,
    ) -> None:
        self.own, self.told = own, told
        self._client = client
        self._explain = explain

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str, **params: str | int) -> Response:
        return await self._send("GET", path, None, params, {})

    async def get_in_time(self, path: str, seconds: float, **params: str | int) -> Response:
        """An answer that may take so many seconds beside the usual."""
        return await self._send("GET", path, None, params, {}, seconds)

    async def follow(self, path: str, **params: str | int) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on."""
        request = self._request("GET", path, None, params, {})
        request.extensions |= ENDLESS | {"timeout": httpx2.Timeout(10.0, read=60.0).as_dict()}
        try:
            response = await self._client.send(request, stream=True)
            if response.status_code >= 400:
                await response.aread()
                raise _failure(response)
            async for line in response.aiter_lines():
                if line:
                    yield line.encode()
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise await self._unreachable(error) from error
        except httpx2.TransportError as error:
            raise unreachable(f"the coordinator went away: {unheard(error)}", code="answer_lost") from error

    async def change(
        self, method: str, path: str, body: object = None, *, expect: int | None = None, **params: str | int
    ) -> Response:
        """A changing request, sent at most twice, carried out at most once. `expect` is the revision that it was
        decided on: where the network has moved on, it is refused (revision_mismatch)."""
        key = {"Idempotency-Key": secrets.token_hex(16)}
        if expect is not None:
            key["If-Match"] = f'"{expect}"'
        encoded = b"" if body is None else msgspec.json.encode(body)
        try:
            return await self._send(method, path, encoded, params, key)
        except Failure as failure:
            if failure.code != "answer_lost":
                raise
        try:
            return await self._send(method, path, encoded, params, key)
        except Failure as failure:
            if failure.code in ("answer_lost", "unreachable"):
                raise unreachable(
                    "the coordinator went away while it answered: nobody knows whether the change was made",
                    "look at the network before you repeat it",
                    "answer_lost",
                ) from failure
            raise

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        params: dict[str, str | int],
        headers: dict[str, str],
        patience: float = 0.0,
    ) -> Response:
        response = await self._once(method, path, body, params, headers, patience)
        if response.status_code >= 400:
            raise _failure(response)
        revision = whole_number(response.headers.get("x-innerd-revision", ""))
        return Response(response.status_code, response.content, revision)

    async def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        params: dict[str, str | int],
        headers: dict[str, str],
        patience: float,
    ) -> httpx2.Response:
        request = self._request(method, path, body, params, headers)
        if patience:
            request.extensions["timeout"] = httpx2.Timeout(10.0, read=10.0 + patience).as_dict()
        deadline = time.monotonic() + _PATIENCE
        try:
            while True:
                try:
                    return await self._client.send(request)
                except httpx2.ConnectError as error:
                    if not _is_refused(error) or time.monotonic() >= deadline:
                        raise
                await asyncio.sleep(_AGAIN)  # a coordinator that starts anew listens in a moment
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise await self._unreachable(error) from error
        except httpx2.TransportError as error:
            raise unreachable(f"the coordinator did not answer: {unheard(error)}", code="answer_lost") from error

    def _request(
        self, method: str, path: str, body: bytes | None, params: dict[str, str | int], headers: dict[str, str]
    ) -> httpx2.Request:
        return self._client.build_request(method, path, content=body, params=params or None, headers=headers)

    async def _unreachable(self, error: Exception) -> Failure:
        if self._explain is not None:
            return await self._explain()
        hint = "does innerd serve run? journalctl -u 'innerd@*' says why it ended"
        return unreachable(f"the coordinator can't be reached: {unheard(error)}", hint)


def _is_refused(error: BaseException | None) -> bool:
    """Whether the coordinator's host answered, and nothing listens there."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(_is_refused(each) for each in error.exceptions)
        error = error.__cause__ or error.__context__
    return False


def _failure(response: httpx2.Response) -> Failure:
    problem = problem_of(response)
    if response.status_code == 500:
        return Failure(1, "internal", f"the coordinator failed: {problem.title}", "its log says why")
    return Failure(status_of_code(problem.code), problem.code or "answer_unreadable", problem.title, problem.hint)


def over_socket(path: Path) -> Api:
    """Over the control socket: the actor is the local user."""
    client = httpx2.AsyncClient(
        transport=httpx2.AsyncHTTPTransport(uds=str(path), verify=no_certificates(), trust_env=False),
        base_url="http://innerd",
        timeout=_TIMEOUT,
        trust_env=False,
    )
    return Api(client)


def in_process(app: Any, user: int) -> Api:
    """Nobody serves: the same API in this process."""
    transport = httpx2.ASGITransport(app, client=(f"local:{user}", -1))
    return Api(httpx2.AsyncClient(transport=transport, base_url="http://innerd", timeout=None))


def over_tunnel(
    values: Parsed,
    link: str,
    explain: Explain | None = None,
    auth: Proof | None = None,
    told: Callable[[], NetworkJson | None] | None = None,
) -> Api:
    """Over the tunnel, from the peer's own address."""
    return Api(client_of(values, link, auth, timeout=_TIMEOUT), explain, str(values.address.ip), told)

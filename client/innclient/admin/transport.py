"""Requests to the coordinator over any of three ways, and answers as values or Failures.

A changing request carries an Idempotency-Key and is sent once more when its answer was lost: the coordinator
answers a repeated request as the first. Over the tunnel it carries the admin proof.
"""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec

from innclient.failures import REFUSED, Failure, status_of_code, unreachable
from innerd.domain.values import whole_number
from innerd.wire import proof

T = TypeVar("T")

_TIMEOUT = httpx2.Timeout(10.0, connect=4.0)
_SERVER_KEY = "X-Innernet-Server-Key"

Explain = Callable[[], Awaitable[Failure]]  # why the coordinator could not be reached


class Problem(msgspec.Struct):
    title: str = ""
    code: str = "refused"
    hint: str | None = None


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    revision: int | None

    def read(self, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(self.body, type=shape)
        except msgspec.DecodeError as error:
            raise Failure(REFUSED, "answer_unreadable", f"the coordinator's answer can't be read: {error}") from error


class Prover:
    """Makes the admin proof of requests: who sends them holds the peer's private key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._offset = 0.0  # the coordinator's clock less ours

    def learn(self, date: str | None) -> bool:
        """Take the coordinator's time from a Date header; whether that changes anything."""
        if date is None:
            return False
        offset = parsedate_to_datetime(date).timestamp() - time.time()
        changed = abs(offset - self._offset) > 5
        self._offset = offset
        return changed

    def header(self, request: httpx2.Request, body: bytes) -> str:
        bound = proof.Request(
            method=request.method,
            target=request.url.raw_path.decode("ascii"),
            host=request.headers["host"],
            body=body,
            if_match=request.headers.get("if-match", ""),
            idempotency_key=request.headers.get("idempotency-key", ""),
        )
        return proof.prove(self._key, bound, int(time.time() + self._offset), secrets.token_hex(12))


class Api:
    """One coordinator, reachable. Close it when done."""

    def __init__(
        self, client: httpx2.AsyncClient, explain: Explain | None = None, prover: Prover | None = None
    ) -> None:
        self._client = client
        self._explain = explain
        self._prover = prover

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str, **params: str | int) -> Reply:
        return await self._send("GET", path, None, params, {})

    async def get_in_time(self, path: str, seconds: float, **params: str | int) -> Reply:
        """An answer that may take so many seconds beside the usual."""
        return await self._send("GET", path, None, params, {}, seconds)

    async def follow(self, path: str, **params: str | int) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on."""
        request = self._request("GET", path, None, params, {})
        request.extensions["timeout"] = httpx2.Timeout(10.0, read=60.0).as_dict()
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
            raise unreachable(f"the coordinator went away ({type(error).__name__})", code="answer_lost") from error

    async def change(
        self, method: str, path: str, body: object = None, *, expect: int | None = None, **params: str | int
    ) -> Reply:
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
    ) -> Reply:
        response = await self._once(method, path, body, params, headers, patience)
        if self._may_be_the_clock(response):
            response = await self._once(method, path, body, params, headers, patience)
        if response.status_code >= 400:
            raise _failure(response)
        revision = whole_number(response.headers.get("x-innerd-revision", ""))
        return Reply(response.status_code, response.content, revision)

    def _may_be_the_clock(self, response: httpx2.Response) -> bool:
        """Whether a proof was refused and the answer's Date says that our clocks differ."""
        if self._prover is None or response.status_code != 401 or _problem(response).code != "proof_invalid":
            return False
        return self._prover.learn(response.headers.get("date"))

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
        try:
            return await self._client.send(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise await self._unreachable(error) from error
        except httpx2.TransportError as error:
            raise unreachable(f"the coordinator did not answer ({type(error).__name__})", code="answer_lost") from error

    def _request(
        self, method: str, path: str, body: bytes | None, params: dict[str, str | int], headers: dict[str, str]
    ) -> httpx2.Request:
        request = self._client.build_request(method, path, content=body, params=params or None, headers=headers)
        if self._prover is not None:
            request.headers[proof.HEADER] = self._prover.header(request, body or b"")
        return request

    async def _unreachable(self, error: Exception) -> Failure:
        if self._explain is not None:
            return await self._explain()
        return unreachable(f"the coordinator can't be reached: {error}")


def _problem(response: httpx2.Response) -> Problem:
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        return Problem(f"the coordinator answered {response.status_code}")


def _failure(response: httpx2.Response) -> Failure:
    problem = _problem(response)
    if response.status_code == 500:
        return Failure(1, "internal", f"the coordinator failed: {problem.title}", "its log says why")
    return Failure(status_of_code(problem.code), problem.code, problem.title, problem.hint)


def over_socket(path: Path) -> Api:
    """Over the control socket: the actor is the local user."""
    client = httpx2.AsyncClient(
        transport=httpx2.AsyncHTTPTransport(uds=str(path), trust_env=False),
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
    url: str, server_key: str, source: str, explain: Explain | None = None, prover: Prover | None = None
) -> Api:
    """Over the tunnel, from the peer's own address."""
    client = httpx2.AsyncClient(
        transport=httpx2.AsyncHTTPTransport(local_address=source, trust_env=False),
        base_url=url,
        headers={_SERVER_KEY: server_key},
        timeout=_TIMEOUT,
        trust_env=False,
    )
    return Api(client, explain, prover)

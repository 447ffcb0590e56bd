"""The admin verbs over a way to the coordinator on which things happen: others' changes, lost answers."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import click
import httpx2

from innerd.admin import cidrs, inspect, invites, peers, plain
from innerd.admin.transport import Api
from innerd.admin.ways import CONNECT
from innerd.command.settings import Settings
from tests.world import INTERFACE, World

Deed = Callable[[], Awaitable[None]]


class Sent(NamedTuple):
    """A changing request, as it reached the coordinator."""

    method: str
    path: str
    if_match: str | None
    key: str | None


class Way(httpx2.AsyncBaseTransport):
    """`deeds` happen, one before each of the next changing requests; the next `losses` answers to those are lost, and
    before that the next `never` requests do not even arrive."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[Sent] = []
        self.previews: list[str | None] = []  # the conditions of the requests that only look ahead
        self.deeds: list[Deed] = []
        self.losses = self.never = 0
        self._to = httpx2.ASGITransport(world.app, client=("local:0", 0))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return await self._to.handle_async_request(request)
        if b"dry_run=true" in request.url.query:
            self.previews.append(request.headers.get("if-match"))
            return await self._to.handle_async_request(request)
        if self.never:
            self.never -= 1
            raise httpx2.ReadError("it never arrived")
        if self.deeds:
            await self.deeds.pop(0)()
        headers = request.headers
        path = request.url.raw_path.decode()
        self.sent.append(Sent(request.method, path, headers.get("if-match"), headers.get("idempotency-key")))
        response = await self._to.handle_async_request(request)
        if self.losses:
            self.losses -= 1
            await response.aread()
            raise httpx2.ReadError("its answer is lost")
        return response

    def __call__(self, verb: str, *args: str) -> None:
        """Run a verb. Raises what it ends with."""

        @contextlib.asynccontextmanager
        async def connect(settings: Settings, network: str) -> AsyncIterator[Api]:
            yield Api(httpx2.AsyncClient(transport=self, base_url="http://innerd"))

        @click.group()
        @click.pass_context
        def program(context: click.Context) -> None:
            context.meta[CONNECT] = connect

        own = (inspect.set_endpoint, inspect.disallow_relay)  # of innerd alone
        for command in (*cidrs.VERBS, *peers.VERBS, *invites.VERBS, *inspect.VERBS, *plain.VERBS, *own):
            program.add_command(command)
        settings = Settings("inn", "/nowhere", "/nowhere", "/nowhere")
        program.main([verb, INTERFACE, *args], prog_name="inn", standalone_mode=False, obj=settings)

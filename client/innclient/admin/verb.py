"""Makes a command of a verb: NETWORK first, the common flags, the way to the coordinator, the way out.

A verb is an async function that gets a `Call` and its own options. Which way leads to the coordinator is the
program's: it leaves a `Connect` in the click context.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import rich_click as click

from innclient.admin import ask, render
from innclient.admin.transport import Api, Reply
from innclient.failures import not_found
from innclient.options import Command, Settings, json_flag, run, settings_of
from innerd.domain.diff import Diff
from innerd.wire.ours import NetworkCidr, NetworkJson, NetworkPeer

Connect = Callable[[Settings, str], AbstractAsyncContextManager[Api]]
CONNECT = "innclient.connect"  # where the program leaves its Connect, in click's meta


class Call:
    """One run of a verb."""

    def __init__(self, api: Api, *, as_json: bool, dry_run: bool = False, yes: bool = False) -> None:
        self.api = api
        self.as_json = as_json
        self.dry_run = dry_run
        self.yes = yes
        self._network: NetworkJson | None = None

    async def network(self) -> NetworkJson:
        if self._network is None:
            self._network = (await self.api.get("/v1/network")).read(NetworkJson)
        return self._network

    async def peer(self, name: str) -> NetworkPeer:
        for peer in (await self.network()).peers:
            if peer.name == name:
                return peer
        raise not_found("peer_not_found", f'there is no peer "{name}"', "list-peers shows them")

    async def cidr(self, name: str) -> NetworkCidr:
        for cidr in (await self.network()).cidrs:
            if cidr.name == name:
                return cidr
        raise not_found("cidr_not_found", f'there is no CIDR "{name}"', "list-cidrs shows them")

    def confirm(self, question: str) -> None:
        """Before what can't be undone by itself. A dry run needs no leave."""
        if not self.dry_run:
            ask.confirm(question, yes=self.yes)

    async def change(self, method: str, path: str, body: object = None, **params: str | int) -> Reply | None:
        """Make a change. In a dry run: show what it would do, and None."""
        if not self.dry_run:
            return await self.api.change(method, path, body, **params)
        diff = (await self.api.change(method, path, body, dry_run="true", **params)).read(Diff)
        if self.as_json:
            render.document(diff)
        else:
            render.difference(diff)
        return None

    def tell(self, content: dict[str, Any], sentence: str) -> None:
        """What was made or changed."""
        if self.as_json:
            render.document(content)
        else:
            render.line(sentence)


def verb(name: str, *options: Callable[[Any], Any], changes: bool = False) -> Callable[[Any], click.Command]:
    """Decorate `async def (call, **options)`; its docstring is the help. `changes` adds --dry-run and --yes."""

    def decorate(body: Callable[..., Awaitable[None]]) -> click.Command:
        @click.pass_context
        def callback(context: Any, /, network: str, dry_run: bool = False, yes: bool = False, **own: Any) -> None:
            settings = settings_of(context)
            connect: Connect = context.meta[CONNECT]

            async def main() -> None:
                async with connect(settings, network) as api:
                    await body(Call(api, as_json=settings.as_json, dry_run=dry_run, yes=yes), **own)

            run(main())

        decorated: Any = callback
        if changes:
            decorated = click.option("--yes", is_flag=True, help="Ask nothing.")(decorated)
            decorated = click.option("--dry-run", is_flag=True, help="Say what it would do, and do nothing.")(decorated)
        for option in reversed(options):
            decorated = option(decorated)
        decorated = json_flag()(decorated)
        decorated = click.argument("network")(decorated)
        return click.command(name, cls=Command, help=body.__doc__)(decorated)

    return decorate

"""Makes a command of a verb: NETWORK first, the common flags, the way to the coordinator, the way out.

A verb is an async function that gets a `Call` and its own options. Which way leads to the coordinator is the
program's: it leaves a `Connect` in the click context.
"""

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import click

from innerd.admin import waiting
from innerd.admin.naming import cidr_named, peer_named
from innerd.admin.ways import CONNECT
from innerd.command import known, listing, output, prompt
from innerd.command.options import WAIT, Command, json_flag, run
from innerd.command.settings import Settings, settings_of
from innerd.domain.diff import Diff
from innerd.failure import INTERRUPTED, REFUSED, UNREACHABLE, Failure, usage
from innerd.wire.ours import NetworkCidr, NetworkJson, NetworkPeer

if TYPE_CHECKING:
    from innerd.admin.transport import Api, Response

Connect = Callable[[Settings, str], "AbstractAsyncContextManager[Api]"]
_LOOK_FIRST = "--dry-run shows all of it; --yes does it"
_TRIES = 10  # under so many others' changes a verb gives up


class Call:
    """One run of a verb."""

    def __init__(
        self, api: "Api", *, as_json: bool, dry_run: bool = False, yes: bool = False, wait: int | None = None
    ) -> None:
        self.api = api
        self.as_json = as_json
        self.dry_run = dry_run
        self.yes = yes
        self._wait = wait
        self.has_changed = False  # or may have, if it was interrupted
        self._is_silent = False
        self._is_leaving = False  # what is changed takes from this machine the way, or the right, to ask further
        self._told: dict[str, Any] = {}  # what was made or changed
        self._network: NetworkJson | None = None
        self._used: list[NetworkPeer | NetworkCidr] = []  # what a change is decided on
        self._foreseen: Diff | None = None  # what was told that it would do
        self._of_several: list[Any] | None = None  # where several are changed: what was told of each
        self._previews: list[Diff] = []

    @property
    def looked_at(self) -> NetworkJson | None:
        """The network, if the verb had to look at it."""
        return self._network

    async def network(self) -> NetworkJson:
        if self._network is None:
            self._network = (await self.api.get("/v1/network")).read(NetworkJson)
        return self._network

    async def known(self) -> NetworkJson:
        """The network; to who may not ask for all of it, or can't now, what this machine was told."""
        try:
            return await self.network()
        except Failure as failure:
            found = None if self.api.told is None else self.api.told()
            if found is None or (failure.code != "not_admin" and failure.status != UNREACHABLE):
                raise
            if failure.status == UNREACHABLE:
                output.line(f"{failure.message}: as of revision {found.revision}", out=sys.stderr)
            return found

    async def peer(self, name: str) -> NetworkPeer:
        found = peer_named(await self.network(), name)
        self._used.append(found)
        return found

    async def cidr(self, name: str) -> NetworkCidr:
        found = cidr_named(await self.network(), name)
        self._used.append(found)
        return found

    def several(self) -> None:
        """From here on what is told is told of several, in one document."""
        self._of_several, self._previews = [], []

    async def again(self, peer: NetworkPeer) -> None:
        """After a change: look at the network anew, and go on only if the next peer is still as it was."""
        self._network = None
        self._used = [peer]
        if not _is_as_it_was(peer, await self.network()):
            raise _changed_meanwhile()

    def told_so_far(self) -> None:
        """One document of what was done to several, or would be."""
        if self._of_several is None or not self.as_json:
            return
        if self.dry_run:
            output.document({"changes": self._previews})
        elif self._told and self._wait is None:
            output.document(self._told)

    def own(self, peer: NetworkPeer, meaning: str) -> None:
        """Say what a change means that is about to take this very machine out, or its rights: it can't take it back."""
        if peer.ip != self.api.own or self.dry_run:
            return
        self._is_leaving = True
        if not self.as_json:
            output.line(f'"{peer.name}" is this machine: {meaning}', out=sys.stderr)

    def confirm(self, question: str) -> None:
        """Before what can't be undone by itself. A dry run needs no leave."""
        if not self.dry_run:
            prompt.confirm(question, yes=self.yes)

    async def change(self, method: str, path: str, body: object = None, **params: str | int) -> "Response | None":
        """Make a change. In a dry run: show what it would do, and None."""
        if not self.dry_run:
            try:
                return await self._changed(method, path, body, **params)
            except Failure as failure:
                if self._is_leaving and failure.status in (REFUSED, UNREACHABLE):
                    return _left(failure)
                raise
        diff = await self._preview(method, path, body, **params)
        if self.as_json and self._of_several is not None:
            self._previews.append(diff)
        elif self.as_json:
            output.document(diff)
        else:
            output.difference(diff)
        return None

    async def _preview(self, method: str, path: str, body: object, **params: str | int) -> Diff:
        return (await self.api.change(method, path, body, expect=None, dry_run="true", **params)).read(Diff)

    async def foresee(self, question: str, method: str, path: str, body: object = None, **params: str | int) -> Diff:
        """What a change would do; where peers would move, or pairs join or part, after leave was given. Such a change
        is made only as it was shown."""
        diff = await self._preview(method, path, body, **params)
        self._foreseen = diff
        if self.dry_run or self.yes or not (diff.moved or diff.pairs_gained or diff.pairs_lost):
            return diff
        if not prompt.is_interactive():
            said = "; ".join(line.rstrip(".") for line in output.effects(diff, "would ", most=3))
            raise usage(f"{said}: --yes is missing, and there is no terminal to ask on", _LOOK_FIRST, "missing_flag")
        for sentence in output.effects(diff, "would "):
            output.line(sentence, out=sys.stderr)
        prompt.confirm(question, yes=False)
        return diff

    async def _changed(self, method: str, path: str, body: object, **params: str | int) -> "Response":
        """Change what was looked at, not what it has become: where the network has moved on meanwhile, look again, and
        go on only if the peers and CIDRs that the change speaks of are still as they were."""
        self.has_changed = True
        for _ in range(_TRIES):
            expect = None if self._network is None else self._network.revision
            try:
                return await self.api.change(method, path, body, expect=expect, **params)
            except Failure as failure:
                if failure.code != "revision_mismatch":
                    raise
            self._network = None
            network = await self.network()
            if not all(_is_as_it_was(used, network) for used in self._used):
                break
            if self._foreseen not in (None, await self._preview(method, path, body, **params)):
                break
        raise _changed_meanwhile()

    def changed(self, reply: "Response | None") -> None:
        """A change of which nothing is told: its own output is all that stdout holds."""
        if reply is not None:
            self._told = {"revision": reply.revision}
            self._is_silent = True

    def tell(self, content: dict[str, Any], *sentences: str) -> None:
        """What was made or changed, a line a sentence."""
        if self._of_several is not None:
            self._of_several.append(content["peer"])
            content = {"peers": self._of_several, "revision": content["revision"]}
        self._told, self._is_silent = content, False
        if self.as_json:
            if self._wait is None and self._of_several is None:
                output.document(content)
        else:
            for sentence in sentences:
                output.line(sentence)

    async def finish(self) -> None:
        """With --wait: return when all connected peers that the change concerns have it. Raises Failure
        `not_converged`, which names those that have not."""
        self.told_so_far()
        if self._wait is None or self.dry_run:
            return
        if self._is_leaving:
            text = "nobody was waited for: this machine can't ask any more who has it"
            output.document(self._told) if self.as_json else output.line(text, out=sys.stderr)
            return
        try:
            found = await waiting.until_converged(self.api, self._told["revision"], self._wait)
        except Failure:
            if self.as_json:
                output.document(self._told)
            raise
        if self.as_json:
            output.document(self._told | {"wait": found})
        else:
            waiting.say(found, sys.stderr if self._is_silent else sys.stdout)
        failure = waiting.missing(found, self._wait)
        if failure is not None:
            raise failure


def _left(failure: Failure) -> "Response":
    """What came of a change after which its maker may hear nothing: done where our agent was told so, else unknown."""
    from innerd.admin.transport import Response

    if failure.code == "stream_ended":
        return Response(204, b"", None)
    if failure.status == REFUSED:
        raise failure
    what = "no answer came, as is to be expected of a machine that is out: nobody here knows whether it was made"
    raise Failure(UNREACHABLE, "answer_lost", what, "another administrator, or the coordinator's innerd, sees it")


def _changed_meanwhile() -> Failure:
    return Failure(
        REFUSED,
        "revision_mismatch",
        "the network was changed by somebody else at the same time, in what this change is about",
        "look at it, and repeat the change if it is still wanted",
    )


def _is_as_it_was(used: NetworkPeer | NetworkCidr, network: NetworkJson) -> bool:
    now: list[NetworkPeer] | list[NetworkCidr] = network.peers if isinstance(used, NetworkPeer) else network.cidrs
    return any(_identity(thing) == _identity(used) for thing in now)


def _identity(thing: NetworkPeer | NetworkCidr) -> tuple[object, ...]:
    """What a person decides on; handshakes and the like change all the time."""
    if isinstance(thing, NetworkCidr):
        return thing.id, thing.name, thing.cidr, thing.parent
    state = (thing.is_admin, thing.is_disabled, thing.is_redeemed, thing.invite_expires, thing.endpoint)
    return thing.id, thing.name, thing.ip, thing.cidr, thing.public_key, *state


def _interrupted(calls: list[Call]) -> BaseException:
    """Ctrl-C: whether anything was changed, and how to go on."""
    if calls and calls[0].has_changed:
        said, hint = "interrupted: a change was made, or sent", "look at the network before you repeat it"
    else:
        said, hint = "interrupted: nothing was changed", "run it again; what is given as flags is not asked for"
    return Failure(INTERRUPTED, "interrupted", said, hint)


_WAIT = click.option(
    "--wait",
    type=click.IntRange(1, 600),
    metavar="[=SECONDS]",
    help=f"Return when all connected peers that it concerns have it, or after {WAIT} (or so many) seconds.",
)


def verb(
    name: str, *options: Callable[[Any], Any], changes: bool = False, lists: tuple[str, ...] | None = None
) -> Callable[[Any], click.Command]:
    """Decorate `async def (call, **options)`; its docstring is the help. `changes` adds --dry-run, --yes and --wait;
    `lists`, the columns of a list, its --columns, --watch and --no-pager."""

    def decorate(body: Callable[..., Awaitable[None]]) -> click.Command:
        @click.pass_context
        def callback(
            context: Any,
            /,
            network: str,
            dry_run: bool = False,
            yes: bool = False,
            wait: int | None = None,
            **own: Any,
        ) -> None:
            settings = settings_of(context)
            connect: Connect = context.meta[CONNECT]

            calls: list[Call] = []

            async def main() -> None:
                async with connect(settings, network) as api:
                    call = Call(api, as_json=settings.as_json, dry_run=dry_run, yes=yes, wait=wait)
                    calls.append(call)
                    await body(call, **own)
                    known.remember(settings, network, call.looked_at)
                    await call.finish()

            def once() -> int:
                run(main())
                return 0

            try:
                if lists is None or own.get("follow"):
                    once()
                else:
                    listing.shown(once)
            except KeyboardInterrupt:
                raise _interrupted(calls) from None

        decorated: Any = callback
        if changes:
            decorated = _WAIT(decorated)
            decorated = click.option("--yes", is_flag=True, help="Ask nothing.")(decorated)
            decorated = click.option("--dry-run", is_flag=True, help="Say what it would do, and do nothing.")(decorated)
        if lists is not None:
            decorated = listing.looks(*lists)(decorated)
        for option in reversed(options):
            decorated = option(decorated)
        decorated = json_flag()(decorated)
        decorated = click.argument("network")(decorated)
        return click.command(name, cls=Command, help=body.__doc__)(decorated)

    return decorate

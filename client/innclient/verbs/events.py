"""The verbs about what this machine was told: `inn events` in words, and `inn trust`, which believes a changed key."""

import sys
import time
from typing import TYPE_CHECKING

import click

from innclient import config
from innclient.paths import Paths, paths_of
from innclient.verbs.flags import session_of
from innerd.command import listing, output, prompt
from innerd.command.options import Command, configure_logs, json_flag, require_root, run
from innerd.command.settings import Settings, settings_of
from innerd.failure import unreachable, usage

if TYPE_CHECKING:
    from innclient.agent.session import Session
    from innclient.core.changes import Entry
    from innclient.core.views import Broken


@click.command("events", cls=Command)
@click.argument("interface")
@click.option("-f", "--follow", is_flag=True, help="Go on, and show events as they happen.")
@json_flag()
@listing.looks()
@click.pass_context
def events(context: click.Context, interface: str, follow: bool) -> None:
    """What this machine was told of the network, and what it made of it, oldest first."""
    settings = settings_of(context)
    if follow and listing.is_watched():
        raise usage("--follow and --watch exclude each other")
    if follow:
        _events(settings, interface, follow=True)
    else:
        listing.shown(lambda: _events(settings, interface, follow=False))


def _events(settings: Settings, interface: str, *, follow: bool) -> int:
    from innclient.agent.asking import Request, ask_agent
    from innclient.core.changes import Entry

    paths = paths_of(settings, interface)
    found = ask_agent(paths, Request("events"), list[Entry])
    if found is None:
        if follow:
            raise unreachable(
                f"no agent runs for {interface}: it is told nothing", f"inn up -d {interface}", "no_agent"
            )
        found = _from_file(paths)
    if settings.as_json and not follow:
        output.document({"events": found, "revision": found[-1].revision if found else 0})
        return 0
    _show(settings, found)
    while follow:
        after = found[-1].seq if found else 0
        new = ask_agent(paths, Request("events", after=after, follow=True), list[Entry])
        if new is None:
            raise unreachable(f"the agent of {interface} has ended", None, "no_agent")
        _show(settings, new)
        found = new or found
    return 0


def _from_file(paths: Paths) -> "list[Entry]":
    from innclient.agent.journal import read

    require_root("inn events without a running agent")
    config.load(paths)
    return read(paths.journal)


def _show(settings: Settings, entries: "list[Entry]") -> None:
    for entry in entries:
        if settings.as_json:
            output.compact(entry)
            continue
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
        output.line(f"{entry.revision:>6}  {when}  {entry.text}")
    sys.stdout.flush()


@click.command("trust", cls=Command)
@click.argument("interface")
@click.argument("peer")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_flag()
@click.pass_context
def trust(context: click.Context, interface: str, peer: str, yes: bool) -> None:
    """Believe the other key that is offered for a peer, from now on."""
    from innclient.agent.asking import Request, ask_agent
    from innclient.core.views import Broken

    settings = settings_of(context)
    paths = paths_of(settings, interface)
    broken = _refused(settings, paths, peer)
    if not settings.as_json:
        output.line(f"{broken.name} ({broken.ip}) shows another key since {output.moment(broken.since)}:")
        output.line(f"  pinned  {broken.pinned}")
        output.line(f"  offered {broken.offered}")
    prompt.confirm("Did an administrator tell you, on another way, that this is its key?", yes=yes)
    request = Request("trust", who=broken.ip, key=broken.offered)
    if ask_agent(paths, request, Broken) is None:
        _trust_in_files(settings, paths, broken)
    if settings.as_json:
        output.document({"peer": broken.name, "ip": broken.ip, "pinned": broken.offered, "was": broken.pinned})
        return
    output.line(f"{broken.offered} is the key of {broken.name} ({broken.ip}) from now on.")


def _refused(settings: Settings, paths: Paths, peer: str) -> "Broken":
    """The break that stands, by the agent, else by the files. Raises Failure."""
    from innclient.agent.asking import ask_agent
    from innclient.agent.store import load_netmap, load_pins
    from innclient.core.pins import break_of
    from innclient.core.views import StatusView

    status = ask_agent(paths, "status", StatusView)
    if status is None:
        require_root("inn trust without a running agent")
        config.load(paths)  # a network that is not here is named as such
        return break_of(load_pins(paths).broken.values(), load_netmap(paths)[0].network, peer)
    return break_of(status.refused, status.network, peer)


def _trust_in_files(settings: Settings, paths: Paths, broken: "Broken") -> None:
    from innclient.agent.run import holding

    configure_logs(settings)
    session = session_of(settings, paths.interface, {})
    with holding(paths):
        run(_trusted(session, broken))


async def _trusted(session: "Session", broken: "Broken") -> None:
    import asyncio

    try:
        await session.trust(broken.ip, broken.offered, has_device=await asyncio.to_thread(session.tunnel.is_up))
    finally:
        await session.close()


VERBS = [events, trust]

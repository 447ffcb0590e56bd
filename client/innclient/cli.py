"""The command `inn`: join a network, stay in it, look at it; and every admin verb over the tunnel. Which verb is in
which module, the modules say themselves (`VERBS`); a command loads that of its verb alone.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import click

from innerd import __version__
from innerd.admin import ways
from innerd.command.completions import completions
from innerd.command.options import finish, global_flags, require_root
from innerd.command.program import Program, help_verb
from innerd.command.settings import Settings
from innerd.command.verbs import Verbs

if TYPE_CHECKING:
    from innerd.admin.inspect import Way
    from innerd.admin.transport import Api
    from innerd.failure import Failure


@contextlib.asynccontextmanager
async def _connect(settings: Settings, network: str) -> "AsyncIterator[Api]":
    """Over the tunnel, with the proof that we hold this peer's private key."""
    import asyncio

    from innclient import config
    from innclient.agent.run import why_unreachable
    from innclient.agent.store import load_netmap
    from innclient.core.status import network_of
    from innclient.paths import paths_of
    from innclient.verbs.flags import tunnel_of
    from innerd.admin.client import Proof
    from innerd.admin.transport import over_tunnel

    require_root("inn")
    paths = paths_of(settings, network)
    loaded = config.load(paths)
    values = loaded.values
    tunnel = await asyncio.to_thread(tunnel_of, settings, network)

    async def explain() -> "Failure":
        return await why_unreachable(paths, tunnel, loaded)

    netmap = load_netmap(paths)[0]
    auth = Proof(values.private_key, values.server_key, netmap.network_id)
    api = over_tunnel(values, tunnel.link, explain, auth, lambda: network_of(netmap) if netmap.revision else None)
    try:
        yield api
    finally:
        await api.close()


@click.group(
    "inn",
    cls=Program,
    commands=Verbs("inn"),
    params=global_flags(),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, "-V", "--version", prog_name="inn", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """A peer of private WireGuard networks.

    `inn install` joins a network, `inn up -d` keeps this machine in it, `inn show` (the default) shows who is there.
    Administrators change the network with the other verbs, over the tunnel.
    """
    context.meta[ways.CONNECT] = _connect
    context.meta[ways.WAY] = _way
    if context.invoked_subcommand is None:
        context.invoke(cli.commands["show"])


def _way(one: str, other: str) -> "Way | None":
    """How the peer that is not this machine is reached, for the command at hand."""
    from innclient.verbs import look

    return look.way(one, other)


cli.add_command(completions("inn", cli))
cli.add_command(help_verb(cli))


def main() -> None:
    finish("inn", cli, lambda: Settings("inn"))

"""The command `innerd`: the verbs that are the coordinator's alone, and every admin verb over the control socket or,
where nobody serves, in this process. Which verb is in which module, the modules say themselves (`VERBS`); a command
loads that of its verb alone.
"""

import contextlib
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import click

from innerd import __version__
from innerd.admin.ways import CONNECT
from innerd.command.completions import completions
from innerd.command.options import configure_logs, finish, global_flags, require_root
from innerd.command.program import Program, help_verb
from innerd.command.settings import Settings
from innerd.command.verbs import Verbs

if TYPE_CHECKING:
    from innerd.admin.transport import Api
    from innerd.config import Config, Paths


@contextlib.asynccontextmanager
async def _connect(settings: Settings, network: str) -> "AsyncIterator[Api]":
    """The way to a network on this host: through who serves it, else through its log."""
    from innerd.config import load, paths_of
    from innerd.serve import holding

    require_root("innerd")
    paths = paths_of(settings, network)
    config = load(paths)
    found = await holding.way(paths)
    if not isinstance(found, holding.Served):
        async with _alone(settings, paths, config, found) as api:
            yield api
        return
    from innerd.admin.transport import over_socket

    api = over_socket(found.socket)
    try:
        yield api
    finally:
        await api.close()


@contextlib.asynccontextmanager
async def _alone(settings: Settings, paths: "Paths", config: "Config", lock: int) -> "AsyncIterator[Api]":
    import asyncio

    from innerd.admin.transport import in_process
    from innerd.api.app import create_app
    from innerd.serve.device import sync_device_once
    from innerd.serve.opened import opened, services_of

    configure_logs(settings)

    def fatal(why: str) -> None:
        raise SystemError(why)

    async with opened(paths, config, fatal, lock) as network:
        revision = network.writer.network.revision
        api = in_process(create_app(services_of(network)), os.getuid())
        try:
            yield api
        finally:
            await api.close()
        if network.writer.network.revision != revision:
            await asyncio.to_thread(sync_device_once, network, paths, settings.backend)


@click.group(
    "innerd",
    cls=Program,
    commands=Verbs("innerd"),
    params=global_flags(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, "-V", "--version", prog_name="innerd", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """The coordinator of a private WireGuard network.

    `innerd new` makes a network, `innerd serve` serves it; the other verbs change it and look at it, whether it is
    being served or not.
    """
    context.meta[CONNECT] = _connect


cli.add_command(completions("innerd", cli))
cli.add_command(help_verb(cli))


def main() -> None:
    finish("innerd", cli, lambda: Settings("innerd"))

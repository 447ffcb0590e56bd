"""The command `inn`: join a network, stay in it, look at it; and every admin verb over the tunnel."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from innclient import config, coordinated
from innclient.config import Paths
from innclient.join.from_innernet import import_innernet
from innclient.verbs import endpoints, events, look, verify
from innclient.verbs.flags import (
    HOSTS,
    NAT,
    agent_section,
    installed,
    neighbours,
    paths_of,
    session_of,
    tunnel_of,
    with_options,
)
from innerd import __version__
from innerd.admin import cidrs, inspect, invites, lists, peers, records
from innerd.admin.verb import CONNECT
from innerd.command import networks, output, prompt
from innerd.command.completions import completions
from innerd.command.options import (
    Command,
    alias,
    configure_logs,
    finish,
    global_flags,
    json_flag,
    raise_file_limit,
    require_root,
    run,
)
from innerd.command.program import Program, help_verb
from innerd.command.settings import Settings, settings_of
from innerd.domain.values import parse_interface, shown
from innerd.failure import SYSTEM, Failure, not_found, usage
from innerd.host import hostsfile
from innerd.wireguard.device import DeviceError

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from innerd.admin.transport import Api


@contextlib.asynccontextmanager
async def _connect(settings: Settings, network: str) -> "AsyncIterator[Api]":
    """Over the tunnel, with the proof that we hold this peer's private key."""
    import asyncio

    from innclient.agent.run import why_unreachable
    from innclient.agent.store import load_netmap
    from innclient.core.status import network_of
    from innerd.admin.client import Proof
    from innerd.admin.transport import over_tunnel

    require_root("inn")
    paths = paths_of(settings, network)
    loaded = config.load(paths)
    values = loaded.values
    tunnel = await asyncio.to_thread(tunnel_of, settings, network)

    async def explain() -> Failure:
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
    context.meta[CONNECT] = _connect
    context.meta[inspect.WAY] = look.way
    if context.invoked_subcommand is None:
        context.invoke(look.show)


@cli.command("install", cls=Command)
@click.argument("invite", type=click.Path(path_type=Path))
@with_options(*HOSTS, *NAT)
@click.option("--name", help="Name of the interface here.")
@click.option("--default-name", is_flag=True, help="Name it as the network.")
@click.option("-d", "--delete-invite", is_flag=True, help="Delete the invitation when joined.")
@click.option("--public-range", is_flag=True, help="Take a range that is not private.")
@click.option("--accept-overlap", is_flag=True, help="Take a range in which this host has something of its own.")
@click.option("--suffix", help="Names end in this here (default: what the invitation says).")
@json_flag()
@click.pass_context
def install(
    context: Any,
    /,
    invite: Path,
    name: str | None,
    default_name: bool,
    delete_invite: bool,
    public_range: bool,
    accept_overlap: bool,
    suffix: str | None,
    **flags: Any,
) -> None:
    """Join a network by an invitation. Interrupted, it goes on when run again."""
    from innclient.agent.run import cycle, holding
    from innclient.agent.tunnel import Making
    from innclient.join import install as joining
    from innerd.admin import invitation

    settings = settings_of(context)
    if name is not None and default_name:
        raise usage("--name and --default-name exclude each other")
    invited, values = invitation.read(invite)  # first: what is wrong with it, nobody needs to be root to hear
    require_root("inn install")
    configure_logs(settings)
    if name is None and not default_name:
        name = prompt.text(
            "Interface name", "--name or --default-name", invited.interface.network_name, parse_interface
        )
    interface = name or invited.interface.network_name
    paths = paths_of(settings, interface)
    joining.check_free(paths)
    joining.agree(
        *(paths, invited, values, neighbours(settings, interface)),
        public_range=public_range,
        accept_overlap=accept_overlap,
        suffix=suffix,
    )
    section = agent_section(settings, flags)  # before the invitation is used up
    tunnel = tunnel_of(settings, interface)
    began = time.monotonic()
    with holding(paths):
        making = Making(mtu=settings.mtu, routing=not settings.no_routing)
        run(joining.join(paths, invited, values, tunnel, making, section, _say))
        session = session_of(settings, interface, flags)
        with contextlib.suppress(Failure, KeyboardInterrupt):  # joined is joined: `inn up` catches up
            run(cycle(session))
    with contextlib.suppress(KeyboardInterrupt):  # that is a no
        if delete_invite or (prompt.is_interactive() and prompt.yes_no("Delete the invitation?", "-d", default=True)):
            _remove(invite)
    seconds = time.monotonic() - began
    if settings.as_json:
        output.document({"interface": interface, "ip": str(values.address.ip), "seconds": round(seconds, 3)})
        return
    output.line(f"Joined {shown(invited.interface.network_name)} as {values.address.ip} in {seconds:.1f} s.")
    output.line(f"Stay in it: inn up -d {interface} (or: systemctl enable --now inn@{interface})")


def _remove(invite: Path) -> None:
    """It is used up; that it stays is no reason to fail."""
    try:
        invite.unlink(missing_ok=True)
    except OSError as error:
        _say(f"{invite} could not be deleted: {error.strerror}")


def _say(text: str) -> None:
    output.line(text, out=sys.stderr)


cli.add_command(alias(install, "redeem"))


@cli.command("up", cls=Command)
@click.argument("interfaces", nargs=-1, metavar="[INTERFACE]...")
@click.option("-d", "--daemon", is_flag=True, help="Stay, and keep it so (the agent).")
@click.option("--interval", type=click.IntRange(1), help="Accepted for innernet's sake: changes come at once here.")
@with_options(*HOSTS, *NAT)
@click.pass_context
def up(context: Any, /, interfaces: tuple[str, ...], daemon: bool, interval: int | None, **flags: Any) -> None:
    """Bring interfaces up (all that are installed, without a name). With -d, stay as the agent."""
    from innclient.agent.run import agent

    settings = settings_of(context)
    require_root("inn up")
    names = interfaces or tuple(installed(settings))
    if not names:
        hint = "inn install INVITATION joins one"
        raise coordinated.instead(not_found("network_not_found", "no network is installed here", hint))
    configure_logs(settings, more=1 if daemon else 0)
    if daemon:
        raise_file_limit()
        sessions = [session_of(settings, name, flags) for name in names]
        run(agent(sessions, _ready))
        return
    for name in names:
        output.line(f"{name} is up at revision {_cycled(settings, name, flags)}.")


def _fetched(paths: Paths) -> int | None:
    """The revision that a running agent has brought everything to; None where none runs."""
    from innclient.agent.control import ask_agent

    return ask_agent(paths, "fetch", int)


def _cycled(settings: Settings, interface: str, flags: dict[str, Any]) -> int:
    """One full cycle, by the agent if one runs, else by ourselves; the revision after it."""
    from innclient.agent.run import cycle, holding

    paths = paths_of(settings, interface)
    config.load(paths)
    revision = _fetched(paths)
    if revision is None:
        session = session_of(settings, interface, flags)
        with holding(paths):
            run(cycle(session))
        revision = session.netmap.revision
    return revision


async def _ready() -> None:
    from innerd.host.systemd import notify

    notify("READY=1")


@cli.command("fetch", cls=Command)
@click.argument("interface")
@with_options(*HOSTS, *NAT)
@click.pass_context
def fetch(context: Any, /, interface: str, **flags: Any) -> None:
    """Bring an interface that is up in step with the network, once."""
    settings = settings_of(context)
    configure_logs(settings)
    paths = paths_of(settings, interface)
    revision = _fetched(paths)
    if revision is not None:
        output.line(f"{interface} is at revision {revision}.")
        return
    require_root("inn fetch without a running agent")
    config.load(paths)
    if not tunnel_of(settings, interface).is_up():
        raise Failure(SYSTEM, "interface_down", f"the interface {interface} is not up", f"inn up {interface}")
    output.line(f"{interface} is at revision {_cycled(settings, interface, flags)}.")


@cli.command("down", cls=Command)
@click.argument("interface")
@click.pass_context
def down(context: click.Context, interface: str) -> None:
    """Take an interface down: tunnel and names go, what was learned stays. Its agent ends."""
    settings = settings_of(context)
    paths = paths_of(settings, interface)
    if not _taken_down(paths):
        require_root("inn down without a running agent")
        loaded = config.load(paths)
        _take_down(settings, paths, Path(loaded.config.agent.hosts_path), (loaded.values.private_key,))
    output.line(f"{interface} is down.")


def _taken_down(paths: Paths) -> bool:
    """Whether a running agent took its interface down for us."""
    from innclient.agent.control import ask_agent

    return ask_agent(paths, "down", str) is not None


def _take_down(settings: Settings, paths: Paths, hosts: Path, private_keys: tuple[str, ...]) -> None:
    from innclient.agent.run import holding, take_down

    if _taken_down(paths):
        return
    with holding(paths):
        take_down(paths, tunnel_of(settings, paths.interface), hosts, private_keys)


@cli.command("uninstall", cls=Command)
@click.argument("interface")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.pass_context
def uninstall(context: click.Context, interface: str, yes: bool) -> None:
    """Leave a network for good: interface, key, pins and names go from this host."""
    import shutil

    settings = settings_of(context)
    require_root("inn uninstall")
    paths = paths_of(settings, interface)
    if not paths.config.exists() and not paths.data.exists():
        missing = not_found("network_not_found", f'there is no network "{interface}" here', _meant(paths))
        raise coordinated.instead(missing, interface)
    prompt.confirm(f'Leave "{interface}"? Its key is lost with it: an administrator must add a new peer.', yes=yes)
    hosts = Path("/etc/hosts")
    private_keys: tuple[str, ...] = ()
    with contextlib.suppress(Failure):  # a broken config must not keep a network from being removed
        loaded = config.load(paths)
        hosts, private_keys = Path(loaded.config.agent.hosts_path), (loaded.values.private_key,)
    left: Failure | None = None
    try:
        _take_down(settings, paths, hosts, private_keys)
    except (DeviceError, Failure) as error:  # of ours, or of the agent's
        if isinstance(error, Failure) and error.code in hostsfile.CODES:
            left = error  # of the names; the rest goes
        elif error.code != "interface_taken":
            raise
        else:
            _say(f"{error.message}")  # somebody else's: the network goes all the same
    paths.config.unlink(missing_ok=True)
    shutil.rmtree(paths.data, ignore_errors=True)
    output.line(f"{interface} is removed from this host. Tell an administrator, who retires the peer.")
    if left is not None:
        raise left


def _meant(paths: Paths) -> str:
    return networks.meant(paths.config_dir, paths.runtime_dir, paths.interface, "inn show lists what is")


cli.add_command(alias(look.show, "list"))
cli.add_command(completions("inn", cli))
cli.add_command(help_verb(cli))
cli.add_command(events.events)
cli.add_command(events.trust)
cli.add_command(verify.verify)
cli.add_command(import_innernet)
for command in (
    *look.VERBS,
    *endpoints.VERBS,
    *peers.VERBS,
    *invites.VERBS,
    *lists.VERBS,
    *cidrs.VERBS,
    *records.VERBS,
    *inspect.VERBS,
):
    cli.add_command(command)


def main() -> None:
    finish("inn", cli, lambda: Settings("inn", "/etc/inn", "/var/lib/inn", "/run/inn"))

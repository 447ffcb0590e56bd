"""The verbs of `inn` about an interface as a whole: up, fetch, down, uninstall."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from innclient import config, coordinated
from innclient.paths import Paths, installed, paths_of
from innclient.verbs.flags import HOSTS, NAT, session_of, tunnel_of, with_options
from innerd.command import networks, output, prompt
from innerd.command.options import Command, configure_logs, raise_file_limit, require_root, run
from innerd.command.settings import Settings, settings_of
from innerd.failure import SYSTEM, Failure, not_found
from innerd.host import hostsfile
from innerd.wireguard.device import DeviceError


@click.command("up", cls=Command)
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
    from innclient.agent.asking import ask_agent

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


@click.command("fetch", cls=Command)
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


@click.command("down", cls=Command)
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
    from innclient.agent.asking import ask_agent

    return ask_agent(paths, "down", str) is not None


def _take_down(settings: Settings, paths: Paths, hosts: Path, private_keys: tuple[str, ...]) -> None:
    from innclient.agent.run import holding, take_down

    if _taken_down(paths):
        return
    with holding(paths):
        take_down(paths, tunnel_of(settings, paths.interface), hosts, private_keys)


@click.command("uninstall", cls=Command)
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
            output.line(error.message, out=sys.stderr)  # somebody else's: the network goes all the same
    paths.config.unlink(missing_ok=True)
    shutil.rmtree(paths.data, ignore_errors=True)
    output.line(f"{interface} is removed from this host. Tell an administrator, who retires the peer.")
    if left is not None:
        raise left


def _meant(paths: Paths) -> str:
    return networks.meant(paths.config_dir, paths.runtime_dir, paths.interface, "inn show lists what is")


VERBS = [up, fetch, down, uninstall]

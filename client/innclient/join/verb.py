"""`inn install`: join a network by an invitation."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import click

from innclient.paths import paths_of
from innclient.verbs.flags import HOSTS, NAT, agent_section, neighbours, session_of, tunnel_of, with_options
from innerd.command import output, prompt
from innerd.command.options import Command, alias, configure_logs, json_flag, require_root, run
from innerd.command.settings import settings_of
from innerd.domain.values import parse_interface, shown
from innerd.failure import Failure, usage


@click.command("install", cls=Command)
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
        is_by_udp = run(joining.join(paths, invited, values, tunnel, making, section, _say))
        if is_by_udp:
            with contextlib.suppress(Failure, KeyboardInterrupt):  # joined is joined: `inn up` catches up
                run(cycle(session_of(settings, interface, flags)))
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


VERBS = [install, alias(install, "redeem")]

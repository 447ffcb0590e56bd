"""What a doctor found, as it is said: a line a finding, and the exit status of the first thing that failed."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import click

from innerd.command import output
from innerd.command.settings import Settings
from innerd.domain.errors import plainly
from innerd.host.checks import Finding, unknown
from innerd.wireguard.device import DeviceError

_MARKS = {"ok": ("ok", "32"), "warning": ("warning", "33"), "failed": ("FAILED", "31"), "unknown": ("unknown", "33")}
_WIDTH = 8


def tried(check: str, find: Callable[..., Iterator[Finding]], *arguments: Any) -> Iterator[Finding]:
    """A check that can't be made is no verdict."""
    try:
        yield from find(*arguments)
    except (DeviceError, OSError, subprocess.SubprocessError) as error:
        yield unknown(check, f"could not be looked at: {plainly(error)}")


def report(context: click.Context, settings: Settings, found: list[Finding]) -> None:
    """Say what was found, under each network's name where there are some; the exit status is that of the first thing
    that failed."""
    if settings.as_json:
        output.document({"checks": found})
    are_many, network = len({finding.network for finding in found} - {None}) > 1, None
    for finding in [] if settings.as_json else found:
        if are_many and finding.network != network:
            network = finding.network
            output.line(f"{network}:")
        word, colour = _MARKS[finding.state]
        output.line(output.Styled(f"{word:{_WIDTH}}", colour), f" {finding.check}: {finding.text}")
        if finding.fix:
            output.line(f"{'':{_WIDTH}} fix: {finding.fix}")
    bad = [finding for finding in found if finding.state == "failed"]
    if bad:
        context.exit(bad[0].status)

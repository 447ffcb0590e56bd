"""What is printed to a terminal is held until it is whole, then shown at once: as it is, through the pager, or in place
of what was there before."""

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

from innerd.command.output import moment
from innerd.command.styles import size

_LESS = "FRX"  # ends where all fits, keeps colours, leaves the screen as it is


def shown(once: Callable[[], int], *, paged: bool = True, every: int | None = None) -> int:
    """What `once` prints; its status. With `every` (seconds) again and again until it is interrupted."""
    if every is None:
        with _held(lambda text: _give(text, paged=paged)):
            return once()
    while True:
        with _held(_redraw):
            once()
        sys.stdout.flush()
        time.sleep(every)


class _Held(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def _held(give: Callable[[str], None]) -> Iterator[None]:
    if not sys.stdout.isatty():
        yield
        return
    screen, held = sys.stdout, _Held()
    sys.stdout = held
    try:
        yield
    except BaseException:
        screen.write(held.getvalue())  # what was said before it went wrong
        raise
    finally:
        sys.stdout = screen
    give(held.getvalue())


def _redraw(text: str) -> None:
    """In place of what was there; what the screen has no room for is counted."""
    lines, room = text.splitlines(), size()[1] - 2
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} lines more"]
    clear = "" if os.environ.get("TERM") == "dumb" else "\x1b[H\x1b[2J"
    sys.stdout.write(f"{clear}{moment(time.time())}, until Ctrl-C\n" + "".join(f"{line}\n" for line in lines))


def _give(text: str, *, paged: bool) -> None:
    pager = _pager() if paged and text.count("\n") >= size()[1] else None
    if pager is None:
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        _page(pager, text.encode(sys.stdout.encoding, sys.stdout.errors or "strict"))


def _pager() -> list[str] | None:
    """$PAGER, else less; None where there is none."""
    import shlex
    import shutil

    if os.environ.get("TERM", "dumb") == "dumb":
        return None
    with contextlib.suppress(ValueError):  # an open quote
        words = shlex.split(os.environ.get("PAGER", "less"))
        if words and words != ["cat"] and shutil.which(words[0]):
            return words
    return None


def _page(pager: list[str], text: bytes) -> None:
    import subprocess

    before = signal.signal(signal.SIGINT, lambda *_: None)  # it is the pager's
    try:
        subprocess.run(pager, input=text, env={"LESS": _LESS, **os.environ}, check=False)
    finally:
        signal.signal(signal.SIGINT, before)

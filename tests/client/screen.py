"""A command at a real terminal: all of its streams are it, and its Ctrl-C comes from there."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

from tests.client.commands import Host

BIN = Path(sys.executable).parent


class Screen:
    """A command at a terminal of some size: all of its streams are it."""

    def __init__(self, host: Host, *args: str, columns: int = 80, lines: int = 24, **env: str) -> None:
        self._master, slave = pty.openpty()
        known = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "xterm"}
        known |= {"COLUMNS": str(columns), "LINES": str(lines)} | env
        command = [str(BIN / host.program), *host.flags, *args]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=known, start_new_session=True, preexec_fn=_controls
        )
        os.close(slave)
        self.seen = b""

    def expect(self, text: bytes) -> None:
        """Read on until a text is there; what is before it is done with."""
        end = time.monotonic() + 30
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
            chunk = self._read() if ready else b""
            if not chunk:
                self.process.kill()
                self.process.wait()
            assert chunk, f"{text!r} never came: {self.seen!r}"
            if b"\x1b[6n" in chunk:
                self.type(b"\x1b[1;1R")  # where the cursor is: terminals answer that
            self.seen += chunk
        self.seen = self.seen.partition(text)[2]

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def _read(self) -> bytes:
        try:
            return os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return b""

    def end(self) -> tuple[int, str]:
        """Exit status, and all that came since."""
        while chunk := self._read():
            self.seen += chunk
        os.close(self._master)
        return self.process.wait(timeout=30), self.seen.decode().replace("\r\n", "\n")


def _controls() -> None:
    """In the child: stdin is what its Ctrl-C comes from."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

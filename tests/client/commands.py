"""`innerd` and `inn` as commands, in this process: arguments in; exit status, stdout and stderr out.

It is what the executables do (`finish` with the process's arguments); only a process start is saved.
"""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import innclient.cli
import innerd.cli

MAINS = {"innerd": innerd.cli.main, "inn": innclient.cli.main}


class Done(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def code(self) -> str:
        """The stable code of the error on stderr."""
        return self.err.partition("[")[2].partition("]")[0]


class Looked(io.StringIO):
    """A stdout that somebody looks at."""

    def isatty(self) -> bool:
        return True


def run(program: str, *args: str, looked: bool = False) -> Done:
    out, err, before = Looked() if looked else io.StringIO(), io.StringIO(), sys.argv
    sys.argv = [program, *args]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            MAINS[program]()
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        sys.argv = before
    return Done(status, out.getvalue(), err.getvalue())


class Host:
    """A machine's files in a folder, and its commands."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder, self.program = folder, program
        self.etc, self.lib, self.run_dir = folder / "etc", folder / "lib", folder / "run"

    @property
    def flags(self) -> list[str]:
        return ["-c", str(self.etc), "-d", str(self.lib), "--runtime-dir", str(self.run_dir)]

    def __call__(self, *args: str) -> Done:
        return run(self.program, *self.flags, *args)

    def seen(self, *args: str) -> str:
        """What a command that must succeed puts on a terminal, without its colours."""
        done = run(self.program, *self.flags, *args, looked=True)
        assert done.status == 0, done
        return re.sub(r"\x1b\[[0-9;]*m", "", done.out)

    def ok(self, *args: str) -> str:
        """Stdout of a command that must succeed and say nothing on stderr."""
        done = self(*args)
        assert (done.status, done.err) == (0, ""), done
        return done.out

    def json(self, *args: str) -> Any:
        return json.loads(self.ok(*args, "--json"))

    def refused(self, *args: str) -> tuple[int, str]:
        """Exit status and code of a command that must fail: nothing on stdout, the error in its form on stderr."""
        done = self(*args)
        assert done.out == "", done
        first, *rest = done.err.splitlines()
        assert first.startswith("error: "), done
        assert first.endswith("]"), done
        assert all(line.startswith("hint: ") for line in rest), done
        assert len(rest) <= 1, done
        return done.status, done.code


# Every changing verb, and flags with which it changes the network of the `host` fixture.
CHANGES = {
    "add-cidr": ["--name", "bakers", "--cidr", "10.42.128.0/24", "--parent", "humans", "--yes"],
    "rename-cidr": ["--name", "humans", "--new-name", "people"],
    "delete-cidr": ["--name", "empty", "--yes"],
    "add-peer": ["--name", "nami", "--cidr", "humans", "--auto-ip", "--admin", "false", "--invite-expires", "14d"],
    "rename-peer": ["--name", "mari", "--new-name", "mari-laptop"],
    "enable-peer": ["--name", "lost"],
    "disable-peer": ["--name", "mari", "--yes"],
    "delete-peer": ["--name", "tama", "--yes"],
    "retire-peer": ["--name", "oven", "--yes"],
    "grant-admin": ["--name", "mari"],
    "revoke-admin": ["--name", "ryo", "--yes"],
    "reissue-invite": ["--name", "tama", "--invite-expires", "1d"],
    "add-association": ["humans", "ovens"],
    "delete-association": ["humans", "cats", "--yes"],
    "set-endpoint": ["198.51.100.7:443"],
    "disallow-relay": [],
    "export": ["phone"],
}
WRITING = ("add-peer", "reissue-invite", "export")  # those that write a file, with --save-config

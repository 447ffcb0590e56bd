"""`inn` and `innerd` as a process that has loaded them already: a fork of it, on a host of a lab, is the command.

Nine tenths of what a command of a lab takes is loading Python's modules, which are the same every time. So one process
loads all of them, and waits. For each command it makes a fork, which enters the host as nsenter(1) does and forks once
more: that one has the words, the environment, the folder and the streams that it was asked for, and begins where the
installed script does. Nothing has run in it that would not have run without this; what loading itself does is seen
where commands are started, typed on a terminal or called by another name.

This file is both sides: run as a script, it is that process.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

BEGINNINGS = {"inn": "innclient.start", "innerd": "innerd.start"}
_PACKAGES = ("inndns", "innerd", "innclient")
_LATER = ("ada_url.ada_adapter", "anyio._backends._asyncio", "encodings.idna", "uvicorn.lifespan.off")
_NAMESPACES = ("net", "uts", "ipc", "pid", "mnt")
_MOST = 64 * 1024  # bytes of a request
_ROOM = " " * 4096  # for the words of a command, in the place of our own


# -- who asks -----------------------------------------------------------------------------------------------------


class Loaded:
    """The process that waits."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), _ROOM],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def begin(self, host: int, folder: str, command: Sequence[str], environment: dict[str, str], out: Any) -> "Begun":
        """Begin a command on the host of a process. `out` and what it says of errors: one file, or two."""
        request = json.dumps({"host": host, "folder": folder, "command": command, "environment": environment})
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._asking, [request.encode()], [theirs.fileno(), *out])
        return Begun(ours)

    def run(
        self, host: int, folder: str, command: Sequence[str], environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Raises subprocess.TimeoutExpired, and ends it."""
        with memory() as out, memory() as err:
            with self.begin(host, folder, command, environment, (out, err)) as begun:
                status = begun.wait(timeout)
            return subprocess.CompletedProcess(command, status, contents(out).decode(), contents(err).decode())

    def end(self) -> None:
        self._asking.close()
        self._process.wait()


class Begun:
    """A command that was begun, told of as subprocess.Popen does. `pid` is not its own, but of the process outside its
    host that waits for it."""

    def __init__(self, answer: socket.socket) -> None:
        self._answer = answer
        said = answer.recv(16)
        assert said, "there is no such host"
        self.pid = int(said)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._answer], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("the command", timeout or 0)
            self.returncode = int(self._answer.recv(16) or -signal.SIGKILL)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """To who waits for it, as Popen would to nsenter(1)."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def __enter__(self) -> "Begun":
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it. Where it is not done yet, it is ended."""
        self._answer.close()


@contextlib.contextmanager
def memory() -> Any:
    """A file that is nowhere."""
    file = os.memfd_create("said")
    try:
        yield file
    finally:
        os.close(file)


def contents(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


# -- who waits ----------------------------------------------------------------------------------------------------


def serve(asking: socket.socket) -> None:
    """Wait for requests. Returns where a command is to begin: in a fork of a fork, on its host."""
    while True:
        request, fds, _, _ = socket.recv_fds(asking, _MOST, 3)
        if not request:
            sys.exit()  # who asks has ended
        if os.fork() == 0:
            asking.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer, out, err = fds
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
            become(json.loads(request), answer)
            return
        for fd in fds:
            os.close(fd)


def become(request: dict[str, Any], answer: int) -> None:
    """Enter the host. Returns in the child that is the command; its parent tells how that ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    namespaces = [os.open(f"/proc/{request['host']}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in _NAMESPACES]
    for namespace in namespaces:
        if libc.setns(namespace, 0):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(namespace)
    child = os.fork()
    if child:
        tell(child, answer)
    os.close(answer)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    name, *rest = request["command"]
    sys.argv = [str(Path(sys.executable).with_name(name)), *rest]
    call([sys.executable, *sys.argv])


def tell(child: int, answer: int) -> NoReturn:
    """Wait for the command, or end it where nobody waits for its answer any more."""
    os.write(answer, str(os.getpid()).encode())
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, answer], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(answer, str(status).encode())
    os._exit(0)


def call(words: list[str]) -> None:
    """Let this process be called what the command would be, for those who look for it among others."""
    Path("/proc/self/comm").write_text(Path(words[1]).name)
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5)
    line = b"".join(word.encode() + b"\0" for word in words)
    ctypes.memmove(begin, line[: end - begin - 1].ljust(end - begin, b"\0"), end - begin)


def load() -> None:
    """All modules that a command may come to need, those too that others load late."""
    for package in map(importlib.import_module, _PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in _LATER:
        importlib.import_module(name)
    gc.freeze()


def run(main: Callable[[], None]) -> None:
    """Run a command, and end as it does: all but taking apart what was loaded, of which a fork would first make a copy
    of its own."""
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            raise
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code or 0)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a fork: each tells by itself
    sys.path[0] = str(Path(sys.executable).parent)
    load()
    serve(socket.socket(fileno=int(sys.argv[1])))
    run(importlib.import_module(BEGINNINGS[Path(sys.argv[0]).name]).main)

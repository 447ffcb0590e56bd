"""To ask the agent of an interface, by its socket: one line of JSON there, one back. What commands load, and nothing of
the agent's own."""

import os
import socket
import time
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from innclient.paths import Paths
from innerd.domain.unreadable import UNREADABLE
from innerd.failure import SYSTEM, Failure, unreachable

T = TypeVar("T")

TIMEOUT = 20.0  # seconds
_AGAIN = 0.1  # seconds
ANOTHER = "another_agent"


class Request(Struct):
    """`who` and `key` are of trust; `after` (a number of an entry) and `follow` of events. `home` is the folder whose
    agent is meant: one that runs from another folder, of which that is a copy, does not answer."""

    verb: str
    home: str = ""
    who: str = ""
    key: str = ""
    after: int = 0
    follow: bool = False


class Response(Struct, kw_only=True):
    """Either `content`, or the exit status, code, message and hint of a failure."""

    content: msgspec.Raw = msgspec.Raw(b"null")
    status: int = 0
    code: str | None = None
    message: str = ""
    hint: str | None = None


def ask_agent(paths: Paths, request: str | Request, shape: type[T]) -> T | None:
    """Ask the agent that runs from these files; None where none does. Raises Failure."""
    asked = Request(request) if isinstance(request, str) else request
    return ask(paths.socket, replace(asked, home=os.path.realpath(paths.data)), shape)


def ask(path: Path, request: str | Request, shape: type[T]) -> T | None:
    """Ask the agent; None where no agent runs. Raises Failure."""
    line = _answer(path, Request(request) if isinstance(request, str) else request)
    if not line:
        return None
    try:
        reply = msgspec.json.decode(line, type=Response)
        if reply.code == ANOTHER:
            return None
        if reply.code is not None:
            raise Failure(reply.status, reply.code, reply.message, reply.hint)
        return msgspec.json.decode(reply.content, type=shape)
    except UNREADABLE as error:
        raise Failure(SYSTEM, "agent_unreadable", f"the agent's answer can't be read: {error}") from None


def _answer(path: Path, request: Request) -> bytes:
    """The line of an answer; empty where no agent runs. One that lets go of who asks is asked again: others asked too,
    or its machine stood still. If it has ended, the next try finds that out."""
    asked = msgspec.json.encode(request) + b"\n"
    ends_at = time.monotonic() + TIMEOUT
    while True:
        try:
            return _asked_once(path, asked)
        except (FileNotFoundError, ConnectionRefusedError):
            return b""
        except (ConnectionResetError, BrokenPipeError):
            if time.monotonic() > ends_at:
                raise unreachable(f"the agent ({path}) hangs up", "see its log", "agent_silent") from None
            time.sleep(_AGAIN)
        except TimeoutError:
            raise unreachable(f"the agent ({path}) does not answer", "see its log", "agent_silent") from None


def _asked_once(path: Path, asked: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(TIMEOUT)
        agent.connect(str(path))
        agent.sendall(asked)
        line = b""
        while not line.endswith(b"\n"):
            chunk = agent.recv(1 << 20)
            if not chunk:
                raise ConnectionResetError
            line += chunk
    return line

"""The agent's socket `/run/inn/<interface>.sock`: one line of JSON in, one out. Reading verbs are for every local
user, changing ones for root and the group `inn`; who asks, the kernel says (SO_PEERCRED)."""

import asyncio
import grp
import os
import pwd
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from innclient.config import Paths
from innerd.domain.errors import UNREADABLE
from innerd.failure import SYSTEM, USAGE, Failure, as_failure, unreachable
from innerd.host import files

T = TypeVar("T")

_TIMEOUT = 20.0  # seconds
_REQUEST = 2.0  # seconds for the line that asks
_MOST, _MOST_A_USER = 64, 8  # connections at once
_CHANGES = {"down", "fetch", "reload", "trust"}
_ANOTHER = "another_agent"
GROUP = "inn"


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


Answer = Callable[[Request], Awaitable[Any]]


class ControlSocket:
    """The server side. `answer(request)` gives the content; it may raise Failure."""

    def __init__(self, path: Path, answer: Answer, home: Path | None = None) -> None:
        self._path = path
        self._home = "" if home is None else os.path.realpath(home)
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._open: Counter[int] = Counter()  # connections, by user

    async def open(self) -> None:
        files.make_public(self._path.parent)
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path=str(beside))
        beside.chmod(0o666)
        os.replace(beside, self._path)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = _uid(writer)
        self._open[uid] += 1
        try:
            # Every local user may ask, and none may keep the agent from its work.
            if self._open[uid] > _MOST_A_USER or self._open.total() > _MOST:
                writer.transport.abort()
                return
            async with asyncio.timeout(_REQUEST):
                line = await reader.readline()
            writer.transport.set_write_buffer_limits(0)  # so that drain waits for all of it, and closing for nothing
            async with asyncio.timeout(_TIMEOUT):
                writer.write(msgspec.json.encode(await self._reply(line, uid)) + b"\n")
                await writer.drain()
            writer.close()
        except (OSError, TimeoutError, ValueError):
            writer.transport.abort()  # gone, too slow, or no client of ours
        finally:
            self._open[uid] -= 1
            if not self._open[uid]:
                del self._open[uid]

    async def _reply(self, line: bytes, uid: int) -> Response:
        try:
            request = msgspec.json.decode(line, type=Request)
            if request.home and request.home != self._home:
                return Response(status=SYSTEM, code=_ANOTHER, message=f"this is the agent of {self._home}")
            if request.verb in _CHANGES and not may_change(uid):
                message = f"{request.verb} is for root and the group {GROUP}"
                return Response(status=SYSTEM, code="not_root", message=message)
            return Response(content=msgspec.Raw(msgspec.json.encode(await self._answer(request))))
        except UNREADABLE as error:
            return Response(status=USAGE, code="usage", message=str(error))
        except Exception as error:
            failure = as_failure(error)
            if failure is None:
                raise
            return Response(status=failure.status, code=failure.code, message=failure.message, hint=failure.hint)


def may_change(uid: int) -> bool:
    """Root, and the members of the group `inn` where there is one."""
    if uid == 0:
        return True
    try:
        user, group = pwd.getpwuid(uid), grp.getgrnam(GROUP)
    except KeyError:
        return False
    return user.pw_gid == group.gr_gid or user.pw_name in group.gr_mem


def _uid(writer: asyncio.StreamWriter) -> int:
    peer = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def ask_agent(paths: Paths, request: str | Request, shape: type[T]) -> T | None:
    """Ask the agent that runs from these files; None where none does. Raises Failure."""
    asked = Request(request) if isinstance(request, str) else request
    return ask(paths.socket, replace(asked, home=os.path.realpath(paths.data)), shape)


def ask(path: Path, request: str | Request, shape: type[T]) -> T | None:
    """Ask the agent; None where no agent runs. Raises Failure."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(_TIMEOUT)
            agent.connect(str(path))
            asked = Request(request) if isinstance(request, str) else request
            agent.sendall(msgspec.json.encode(asked) + b"\n")
            line = b""
            while not line.endswith(b"\n"):
                chunk = agent.recv(1 << 20)
                if not chunk:
                    break
                line += chunk
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except (TimeoutError, ConnectionResetError, BrokenPipeError):
        raise unreachable(f"the agent ({path}) does not answer", "see its log", "agent_silent") from None
    if not line:  # it ended while we asked
        return None
    try:
        reply = msgspec.json.decode(line, type=Response)
        if reply.code == _ANOTHER:
            return None
        if reply.code is not None:
            raise Failure(reply.status, reply.code, reply.message, reply.hint)
        return msgspec.json.decode(reply.content, type=shape)
    except UNREADABLE as error:
        raise Failure(SYSTEM, "agent_unreadable", f"the agent's answer can't be read: {error}") from None

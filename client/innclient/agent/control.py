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
from typing import Any

import msgspec

from innclient.agent.asking import ANOTHER, TIMEOUT, Request, Response
from innerd.domain.unreadable import UNREADABLE
from innerd.failure import SYSTEM, USAGE, as_failure
from innerd.host import files

_REQUEST = 2.0  # seconds for the line that asks
_MOST, _MOST_A_USER = 64, 8  # connections at once
_CHANGES = {"down", "fetch", "reload", "trust"}
GROUP = "inn"


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
            async with asyncio.timeout(TIMEOUT):
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
                return Response(status=SYSTEM, code=ANOTHER, message=f"this is the agent of {self._home}")
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

"""Knocking at an agent's door: a door that answers everything with one content, and connections of any local user."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from innclient.agent import control

PATIENCE = 5  # seconds: only a broken door takes that long
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def door_at(path: Path, content: Any = "content") -> AsyncIterator[asyncio.Event]:
    """A door that answers every verb with a content, or raises it; the event: it was asked."""
    asked = asyncio.Event()

    async def answer(verb: str) -> Any:
        asked.set()
        if isinstance(content, Exception):
            raise content
        return content

    opened = control.ControlSocket(path, answer)
    await opened.open()
    try:
        yield asked
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def connected(path: Path, uid: int | None = None) -> AsyncIterator[Ends]:
    """A connection of a user: the kernel notes who connects."""
    before = os.geteuid()
    os.seteuid(before if uid is None else uid)
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    finally:
        os.seteuid(before)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def is_served(ends: Ends, line: bytes = b'{"verb":"show"}\n') -> bool:
    answer = await said(ends, line)
    return bool(answer) and msgspec.json.decode(answer)["content"] == "content"


async def said(ends: Ends, line: bytes = b'{"verb":"show"}\n') -> bytes:
    """All that comes back until the door closes."""
    with contextlib.suppress(ConnectionError):
        ends[1].write(line)
        async with asyncio.timeout(PATIENCE):
            return await ends[0].read()
    return b""

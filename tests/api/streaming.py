"""A client of the event stream that was written from the contract alone: frames, and the state they add up to."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2

from innerd.streaming.registry import Stream
from tests.world import Pipe, World

PATIENCE = 5  # seconds: only a broken server takes that long
SOFT = {"endpoint", "candidates"}


class Frame(NamedTuple):
    event: str
    data: dict[str, Any]
    id: str | None


def frames_of(raw: bytes) -> list[Frame]:
    """Server-sent events, read naively; comments are left out."""
    found = []
    for block in raw.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            assert set(fields) <= {"event", "data", "id"}
            found.append(Frame(fields["event"], json.loads(fields["data"]), fields.get("id")))
    return found


class Told:
    """What one client of a stream was told: the frames, and the state that follows from them."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.raw = b""
        self.peers: dict[int, dict[str, Any]] = {}
        self.cidrs: dict[int, dict[str, Any]] = {}
        self.presence: dict[int, dict[str, Any]] = {}
        self.cursor: str | None = None

    def hear(self, raw: bytes) -> list[Frame]:
        self.raw += raw
        new = frames_of(raw)
        for frame in new:
            self._apply(frame)
        self.frames += new
        return new

    def _apply(self, frame: Frame) -> None:
        if frame.id is not None:
            self.cursor = frame.id
        if frame.event == "snapshot":
            self.peers, self.cidrs = {}, {}
        if frame.event in ("snapshot", "delta"):
            self.peers |= {peer["id"]: peer for peer in frame.data["peers"]}
            self.cidrs |= {cidr["id"]: cidr for cidr in frame.data["cidrs"]}
            for number in frame.data.get("gone", []):
                del self.peers[number]
            for number in frame.data.get("cidrs_gone", []):
                del self.cidrs[number]
        if frame.event == "presence":
            if frame.data["whole"]:
                self.presence = {}
            self.presence |= {peer["peer"]: peer for peer in frame.data["peers"]}

    def state(self) -> dict[str, Any]:
        return hard({"peers": list(self.peers.values()), "cidrs": list(self.cidrs.values())})

    def events(self) -> list[str]:
        return [frame.event for frame in self.frames]


def hard(state: dict[str, Any]) -> dict[str, Any]:
    """A state without its soft fields, in order of ids."""
    peers = [{k: v for k, v in peer.items() if k not in SOFT} for peer in state["peers"]]
    by_id = lambda item: item["id"]  # noqa: E731
    return {"peers": sorted(peers, key=by_id), "cidrs": sorted(state["cidrs"], key=by_id)}


def drained(stream: Stream) -> bytes:
    """All that waits in a stream that nobody sends from, as its sender would take it."""
    assert isinstance(stream.pipe, Pipe)
    return stream.pipe.taken()


class Open(Told):
    """An open stream over a socket."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__()
        self.response = response
        self._chunks = response.aiter_bytes()
        self._partial = b""
        self._unread: list[Frame] = []

    async def next(self, event: str | None = None) -> Frame:
        """The next frame (of a kind)."""
        while True:
            while self._unread:
                frame = self._unread.pop(0)
                if event in (None, frame.event):
                    return frame
            async with asyncio.timeout(PATIENCE):
                await self._more(await anext(self._chunks))

    async def _more(self, chunk: bytes) -> None:
        whole, found, self._partial = (self._partial + chunk).rpartition(b"\n\n")
        if found:
            self._unread += self.hear(whole + found)

    async def rest(self) -> list[Frame]:
        """What comes until the server ends the stream."""
        async with asyncio.timeout(PATIENCE):
            async for chunk in self._chunks:
                await self._more(chunk)
        left, self._unread = self._unread, []
        return left


@contextlib.asynccontextmanager
async def stream_of(w: World, who: str, port: int, query: str = "", **headers: str) -> AsyncIterator[Open]:
    async with (
        w.over_socket(who, port) as client,
        client.stream("GET", f"/v1/user/events{query}", headers=headers) as response,
    ):
        yield Open(response)

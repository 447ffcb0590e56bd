"""Events to records and back. One record is one JSON document, the whole envelope:

    {"seq":7,"type":"peer.added","version":1,"at":"2026-03-01T12:00:00.000000Z","actor":"peer:2",
     "origin":"10.42.0.2","request":"…","subject":"peer:5","data":{…}}

`at` is UTC with microseconds. `actor` is `peer:<id>`, `local:<user>` on the coordinator's host, or `coordinator`.
A type or version that this release does not know is an error that names it: a newer release wrote the log.
Upcasters (version n -> n+1, pure, on the data as JSON) go into UPCASTERS; stored bytes are never rewritten.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from innerd.domain import events as e

UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}


class UnknownEvent(Exception):
    """A record whose type or version this release does not know."""


class Who(msgspec.Struct, frozen=True):
    """Who made a command, from where, under which request id."""

    actor: str
    origin: str = ""
    request: str | None = None


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A record, read. `data` is the event's own JSON."""

    seq: int
    type: str
    version: int
    at: str
    actor: str
    origin: str
    request: str | None
    subject: str
    data: msgspec.Raw

    @property
    def time(self) -> float:
        return datetime.fromisoformat(self.at).timestamp()


_TYPES: dict[str, type[e.Event]] = {str(cls.__struct_config__.tag): cls for cls in get_args(e.AnyEvent)}
_ENCODER = msgspec.json.Encoder()
_ENVELOPE = msgspec.json.Decoder(Envelope)
_EVENT: msgspec.json.Decoder[e.AnyEvent] = msgspec.json.Decoder(e.AnyEvent)


def timestamp(now: float) -> str:
    """Seconds since 1970 as the log writes time."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def encode(event: e.AnyEvent, seq: int, now: float, who: Who) -> bytes:
    """The record of an event."""
    data = msgspec.to_builtins(event)
    del data["type"]
    return _ENCODER.encode(
        {
            "seq": seq,
            "type": e.type_of(event),
            "version": event.version,
            "at": timestamp(now),
            "actor": who.actor,
            "origin": who.origin,
            "request": who.request,
            "subject": e.subject_of(event),
            "data": data,
        }
    )


def envelope(record: bytes | str) -> Envelope:
    return _ENVELOPE.decode(record)


def decode(record: bytes | str) -> e.AnyEvent:
    """The event of a record. Raises UnknownEvent for what a newer release wrote."""
    return event_of(_ENVELOPE.decode(record))


def event_of(read: Envelope) -> e.AnyEvent:
    cls = _TYPES.get(read.type)
    if cls is None or read.version > cls.version or read.version < 1:
        raise UnknownEvent(
            f"event {read.seq} is a {read.type} of version {read.version}, which this release does not know"
        )
    if read.version == cls.version:
        # The tag goes in front of the data, so that one compiled decoder serves all types.
        return _EVENT.decode(b'{"type":"' + read.type.encode() + b'",' + _body(bytes(read.data)))
    data = msgspec.json.decode(read.data)
    for version in range(read.version, cls.version):
        data = UPCASTERS[read.type, version](data)
    return msgspec.convert({"type": read.type, **data}, e.AnyEvent)  # type: ignore[no-any-return]


def _body(data: bytes) -> bytes:
    return data.lstrip()[1:]

"""Events to records and back. One record is one JSON document, the whole envelope:

    {"seq":7,"type":"peer.added","version":1,"at":"2026-03-01T12:00:00.000000Z","actor":"peer:2",
     "origin":"10.42.0.2","request":"…","subject":"peer:5","data":{…}}

`at` is UTC with microseconds. `actor` is `peer:<id>`, `local:<user>` on the coordinator's host, or `coordinator`.
A type or version that this release does not know is an error that names it: a newer release wrote the log.
Upcasters (version n -> n+1, pure, on the data as JSON) go into UPCASTERS; stored bytes are never rewritten.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Any, get_args

import msgspec

from innerd.domain import events as e

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[tuple[str, int], Upcaster] = {}


class UnknownEvent(Exception):
    """A record whose type or version this release does not know."""


class Who(msgspec.Struct, frozen=True):
    """Who made a command, from where, under which request id."""

    actor: str
    origin: str = ""
    request: str | None = None


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


class _Content(msgspec.Struct, frozen=True, gc=False):
    """What of a record makes its event, whichever release wrote it."""

    type: str
    version: int
    data: msgspec.Raw


_ENCODER = msgspec.json.Encoder()
_ENVELOPE = msgspec.json.Decoder(Envelope)
_CONTENT = msgspec.json.Decoder(_Content)


def _record_of(cls: type[e.Event]) -> type[msgspec.Struct]:
    """A record of one type of event, read whole at once."""
    fields = [("version", int), ("data", cls)]
    tag = cls.__struct_config__.tag
    return msgspec.defstruct(f"{cls.__name__}Record", fields, tag_field="type", tag=tag, frozen=True, gc=False)


class Codec:
    """Which types there are, in which version, and how older versions become it. `CODEC` is the log's; another one is
    for showing how a second version of an event is read."""

    def __init__(self, types: Iterable[type[e.Event]], upcasters: Mapping[tuple[str, int], Upcaster]) -> None:
        self._types = {str(cls.__struct_config__.tag): cls for cls in types}
        self._present = msgspec.json.Decoder(reduce(or_, map(_record_of, self._types.values())))
        self._upcasters = upcasters

    def decode(self, record: bytes | str) -> Any:
        """The event of a record. Raises UnknownEvent for what a newer release wrote, one of UNREADABLE for what is
        no record."""
        try:
            read: Any = self._present.decode(record)
            event = read.data
            if read.version == event.version:
                return event
        except msgspec.ValidationError:
            pass  # of another release, or none: which of both is told with care
        return self._decode_other(record)

    def _decode_other(self, record: bytes | str) -> Any:
        content = _CONTENT.decode(record)
        cls = self._types.get(content.type)
        if cls is not None and content.version == cls.version:
            return msgspec.json.decode(content.data, type=cls)  # raises: it is not of that shape
        if cls is None or not 0 < content.version < cls.version:
            raise UnknownEvent(
                f"event {envelope(record).seq} is a {content.type} of version {content.version},"
                " which this release does not know"
            )
        data = msgspec.json.decode(content.data)
        for version in range(content.version, cls.version):
            data = self._upcasters[content.type, version](data)
        return msgspec.convert(data, cls)


CODEC = Codec(get_args(e.AnyEvent), UPCASTERS)


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
    """The event of a record of the log."""
    event: e.AnyEvent = CODEC.decode(record)
    return event

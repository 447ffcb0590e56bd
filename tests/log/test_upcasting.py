"""How a second version of an event will be read, shown on a codec with events of its own: no event has one yet.

Old records stay as they were written; upcasters carry their data from version to version up to today's.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import msgspec
import pytest

from innerd.domain.events import AnyEvent, CidrCreated, Event
from innerd.log.codec import UPCASTERS, Codec, UnknownEvent, Upcaster
from tests.log.test_golden import GOLDEN


class OvenLit(Event, frozen=True, tag="oven.lit"):
    """Version 1 had `degrees` as text; 2 made it a number in Fahrenheit, 3 calls it `celsius` and says who lit it."""

    version: ClassVar[int] = 3
    oven: int
    celsius: int
    by: str | None


def number(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"degrees": int(data["degrees"].removesuffix("F"))}


def celsius(data: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in data.items() if key != "degrees"}
    return rest | {"celsius": (data["degrees"] - 32) * 5 // 9, "by": None}


CHAIN: dict[tuple[str, int], Upcaster] = {("oven.lit", 1): number, ("oven.lit", 2): celsius}
OVENS = Codec((OvenLit, CidrCreated), CHAIN)


def record(version: int, data: Mapping[str, Any], type_: str = "oven.lit") -> bytes:
    envelope = {"seq": 7, "type": type_, "version": version, "at": "2026-03-01T12:00:00.000000Z"}
    return json.dumps(
        envelope | {"actor": "peer:2", "origin": "", "request": None, "subject": "oven:4", "data": data}
    ).encode()


@pytest.mark.parametrize(
    ("version", "data", "by"),
    [
        (1, {"oven": 4, "degrees": "392F"}, None),
        (2, {"oven": 4, "degrees": 392}, None),
        (3, {"oven": 4, "celsius": 200, "by": "ryo"}, "ryo"),
    ],
    ids=["v1", "v2", "v3"],
)
def test_a_record_of_any_version_is_read_as_the_event_of_today(
    version: int, data: dict[str, Any], by: str | None
) -> None:
    assert OVENS.decode(record(version, data)) == OvenLit(oven=4, celsius=200, by=by)


def test_every_step_is_taken_once_and_in_order() -> None:
    taken: list[int] = []

    def step(version: int) -> Upcaster:
        return lambda data: taken.append(version) or CHAIN["oven.lit", version](data)

    counting = Codec([OvenLit], {("oven.lit", version): step(version) for version in (1, 2)})
    counting.decode(record(1, {"oven": 4, "degrees": "392F"}))
    assert taken == [1, 2]
    counting.decode(record(2, {"oven": 4, "degrees": 392}))
    assert taken == [1, 2, 2]
    counting.decode(record(3, {"oven": 4, "celsius": 200, "by": None}))
    assert taken == [1, 2, 2]


@pytest.mark.parametrize("version", [4, 99, 0, -1])
def test_a_version_that_nobody_knows_is_named_and_not_guessed_at(version: int) -> None:
    with pytest.raises(UnknownEvent, match=rf"event 7 is a oven\.lit of version {version}\b"):
        OVENS.decode(record(version, {"oven": 4, "celsius": 200, "by": None}))


def test_a_type_that_nobody_knows_is_named() -> None:
    with pytest.raises(UnknownEvent, match=r"oven\.doused"):
        OVENS.decode(record(1, {}, "oven.doused"))


def test_what_upcasting_makes_is_checked_like_any_event() -> None:
    broken = Codec([OvenLit], CHAIN | {("oven.lit", 2): lambda data: {"oven": 4}})
    with pytest.raises(msgspec.ValidationError, match="celsius"):
        broken.decode(record(1, {"oven": 4, "degrees": "392F"}))


def test_reading_an_old_record_leaves_its_bytes_as_they_were() -> None:
    old = record(1, {"oven": 4, "degrees": "392F"})
    before = bytes(bytearray(old))
    OVENS.decode(old)
    assert old == before


def test_a_first_version_of_today_is_read_by_a_release_with_a_second() -> None:
    """The golden record of `cidr.created`, under a release that made `range` two fields."""

    class CidrCreated2(Event, frozen=True, tag="cidr.created"):
        version: ClassVar[int] = 2
        id: int
        name: str
        address: str
        prefix: int
        parent: int | None

    def split(data: dict[str, Any]) -> dict[str, Any]:
        address, _, prefix = data.pop("range").partition("/")
        return data | {"address": address, "prefix": int(prefix)}

    newer = Codec([CidrCreated2], {("cidr.created", 1): split})
    read = newer.decode((GOLDEN / "cidr.created.v1.json").read_bytes())
    assert read == CidrCreated2(id=3, name="humans", address="10.42.128.0", prefix=17, parent=1)


def test_the_release_before_names_what_the_newer_one_wrote() -> None:
    newer = (GOLDEN / "cidr.created.v1.json").read_bytes().replace(b'"version":1', b'"version":2')
    with pytest.raises(UnknownEvent, match=r"cidr\.created of version 2"):
        OVENS.decode(newer)


def test_every_older_version_of_a_real_event_has_an_upcaster() -> None:
    needed = {(str(cls.__struct_config__.tag), v) for cls in get_args(AnyEvent) for v in range(1, cls.version)}
    assert set(UPCASTERS) == needed

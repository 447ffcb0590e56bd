"""innernet's shapes: what decodes, what does not, and what an error says."""

from ipaddress import ip_network
from typing import Any

import pytest

from innerd.domain.errors import Refused
from innerd.wire.innernet import (
    AssociationContents,
    CidrContents,
    EndpointContents,
    PeerContents,
    RedeemContents,
    SystemTime,
    candidates_of,
    decode,
)

PEER = (
    b'{"name":"neko","ip":"10.0.0.2","cidr_id":3,"public_key":"k","endpoint":null,"persistent_keepalive_interval":25,'
    b'"is_admin":false,"is_disabled":false,"is_redeemed":true,"invite_expires":%s,"candidates":[]}'
)


@pytest.mark.parametrize(
    ("body", "time"),
    [
        (b"null", None),
        (b'{"secs_since_epoch":5,"nanos_since_epoch":6}', SystemTime(5, 6)),
        (b'{"nanos_since_epoch":6,"secs_since_epoch":5}', SystemTime(5, 6)),
        (b'{"secs_since_epoch":9223372036854775807,"nanos_since_epoch":4294967295}', SystemTime(2**63 - 1, 2**32 - 1)),
    ],
)
def test_a_time_decodes(body: bytes, time: SystemTime | None) -> None:
    assert decode(PEER % body, PeerContents).invite_expires == time


@pytest.mark.parametrize(
    ("type_", "body", "path"),
    [
        pytest.param(PeerContents, PEER % b'{"secs_since_epoch":5}', "$.invite_expires", id="half a time"),
        pytest.param(
            PeerContents,
            PEER % b'{"secs_since_epoch":5,"nanos_since_epoch":6,"x":1}',
            "$.invite_expires",
            id="a time with more",
        ),
        pytest.param(AssociationContents, b'{"cidr_id_1":1,"cidr_id_2":"2"}', "$.cidr_id_2", id="an id as text"),
        pytest.param(AssociationContents, b'{"cidr_id_1":1.0,"cidr_id_2":2}', "$.cidr_id_1", id="an id as a float"),
        pytest.param(AssociationContents, b'{"cidr_id_1":true,"cidr_id_2":2}', "$.cidr_id_1", id="an id as a boolean"),
        pytest.param(CidrContents, b'{"name":"a","cidr":null}', "$.cidr", id="no range"),
        pytest.param(RedeemContents, b'{"public_key":null}', "$.public_key", id="no key"),
        pytest.param(list[str], b'["a",5]', "$[1]", id="a candidate that is no text"),
    ],
)
def test_what_does_not_decode_is_refused_with_its_place(type_: Any, body: bytes, path: str) -> None:
    with pytest.raises(Refused) as refused:
        decode(body, type_)
    assert refused.value.code == "invalid_request"
    assert path in refused.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"\xef\xbb\xbf{}",
        b'{"public_key":"\xff"}',
        b'{"public_key":"\\ud800"}',
        b"\x00",
        b"NaN",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="can't be read"):
        decode(body, RedeemContents)


@pytest.mark.parametrize(
    ("contents", "endpoint"),
    [
        (EndpointContents(option="Set", content="1.1:5"), "1.0.0.1:5"),
        (EndpointContents(option="Set", content="[2001:db8::1]:5"), "[2001:db8::1]:5"),
        (EndpointContents(option="Set", content="0:5"), "0.0.0.0:5"),
        (EndpointContents(option="Set", content="[::]:5"), "[::]:5"),
        (EndpointContents(option="Unset"), None),
        (EndpointContents(option="Unset", content=None), None),
    ],
)
def test_an_endpoint_to_set_or_to_unset(contents: EndpointContents, endpoint: str | None) -> None:
    assert contents.endpoint() == endpoint


@pytest.mark.parametrize(
    ("option", "content"), [("Set", None), ("Unset", "1.1.1.1:1"), ("set", "1.1.1.1:1"), ("", None)]
)
def test_an_option_that_is_neither_is_refused(option: str, content: str | None) -> None:
    with pytest.raises(Refused) as refused:
        EndpointContents(option=option, content=content).endpoint()
    assert refused.value.code == "invalid_request"


@pytest.mark.parametrize(
    "content",
    [
        "vpn.example.com:5",
        "localhost:5",
        "127.0.0.1:5",
        "[::1]:5",
        "[::ffff:127.0.0.1]:5",
        "169.254.1.1:5",
        "[fe80::1]:5",
    ]
    + ["224.0.0.1:5", "255.255.255.255:5", "198.51.100.1:0", "0.0.0.0:0", "10.42.1.1:5"],
)
def test_a_peer_is_where_others_can_come_to_and_never_at_a_name(content: str) -> None:
    with pytest.raises(Refused) as refused:
        EndpointContents(option="Set", content=content).endpoint(ip_network("10.42.0.0/16"))
    assert refused.value.code == "invalid_endpoint"
    assert refused.value.hint is not None


def test_a_candidate_that_is_a_name_is_refused() -> None:
    with pytest.raises(Refused, match="is a name"):
        candidates_of(["192.0.2.1:1", "vpn.example.com:1"])


def test_candidates_keep_their_order_and_each_is_told_once() -> None:
    """Clients try from the end: order is meaning."""
    assert candidates_of(["9.9.9.9:1", "8.8.8.8:1", "9.9.9.9:01"]) == ("9.9.9.9:1", "8.8.8.8:1")


@pytest.mark.parametrize(("count", "code"), [(10, None), (11, "too_many_candidates")])
def test_ten_candidates_are_the_limit(count: int, code: str | None) -> None:
    texts = [f"192.0.2.{number}:1" for number in range(count)]
    if code is None:
        assert len(candidates_of(texts)) == count
        return
    with pytest.raises(Refused) as refused:
        candidates_of(texts)
    assert refused.value.code == code

"""The body of a request, as each of the shapes that there are: refused, or read; and what is read is parsed further, or
refused with a stable code."""

import contextlib
from typing import Any

import msgspec

from innerd.api.app import ROUTES
from innerd.domain.errors import Refused
from innerd.domain.values import parse_address, parse_endpoint, parse_name, parse_public_key, parse_range
from innerd.wire.innernet import EndpointContents, PeerContents, candidates_of, decode

_SHAPES: list[Any] = [route.body for route in ROUTES if route.body is not None]
_PEER = (
    b'{"name":"ryo","ip":"10.42.128.1","cidr_id":3,"public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",'
    b'"endpoint":"192.0.2.1:51820","persistent_keepalive_interval":25,"is_admin":false,"is_disabled":false,'
    b'"is_redeemed":true,"invite_expires":{"secs_since_epoch":1,"nanos_since_epoch":0},"candidates":[]}'
)

SEEDS = [
    _PEER,
    b'{"option":"Set","content":"ryo.example:51820"}',
    b'{"option":"Unset"}',
    b'["192.168.1.9:51820","[fd00::1]:1"]',
    b'{"name":"humans","cidr":"10.42.128.0/17","parent":1}',
    b'{"cidr_id_1":1,"cidr_id_2":2}',
    b'{"revision":7,"refused":[{"peer":3,"reason":"pin"}]}',
    b'{"peer":3}',
    b'{"name":"git.ryo","type":"CNAME","value":"@"}',
    b'{"public_key":"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=","invite_expires":null}',
    b'{"endpoint":"192.0.2.1:51820"}',
]
WORDS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"[1,2]", b"0x7f.1:1", b"xn--a.wg:1", b"[::ffff:1.2.3.4]:1"]

_PARSERS = (parse_name, parse_address, parse_range, parse_public_key, parse_endpoint)


def check(data: bytes) -> None:
    for shape in _SHAPES:
        with contextlib.suppress(Refused):
            _read(decode(data, shape))


def _read(contents: Any) -> None:
    if isinstance(contents, PeerContents):
        contents.expiry()
    if isinstance(contents, EndpointContents):
        contents.endpoint()
    if isinstance(contents, list):
        candidates_of(contents)
    for text in _texts(msgspec.to_builtins(contents)):
        for parse in _PARSERS:
            with contextlib.suppress(Refused):
                assert parse(str(parse(text))) == parse(text)  # type: ignore[operator]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts(one)]

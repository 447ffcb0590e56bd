"""Endpoints: `host:port` with a WHATWG URL host, as innernet reads them (section 1.3 there), in one spelling."""

from ipaddress import ip_address

import pytest

from innerd.domain.errors import Refused
from innerd.domain.values import Endpoint, endpoint_address, endpoint_of, parse_endpoint, split_endpoint

ENDPOINTS = {
    "1.2.3.4:80": "1.2.3.4:80",
    "1.2.3.4.:80": "1.2.3.4:80",
    "1.1:80": "1.0.0.1:80",
    "1.2.3:80": "1.2.0.3:80",
    "123:80": "0.0.0.123:80",
    "4294967295:80": "255.255.255.255:80",
    "0x7f.1:80": "127.0.0.1:80",
    "0X7F.1:80": "127.0.0.1:80",
    "0177.0.0.1:80": "127.0.0.1:80",
    "0x:80": "0.0.0.0:80",
    "%31.2.3.4:80": "1.2.3.4:80",
    "１.２.３.４:80": "1.2.3.4:80",
    "[::1]:5": "[::1]:5",
    "[FD00:0:0::0001]:5": "[fd00::1]:5",
    "[::ffff:1.2.3.4]:5": "[::ffff:102:304]:5",
    "[1:2:3:4:5:6:7:8]:5": "[1:2:3:4:5:6:7:8]:5",
    "example.com:51820": "example.com:51820",
    "EXAMPLE.Com:51820": "example.com:51820",
    "example.com.:51820": "example.com.:51820",
    "ex%61mple.com:1": "example.com:1",
    "localhost:1": "localhost:1",
    "a_b.example:1": "a_b.example:1",
    "_dns.example:1": "_dns.example:1",
    "a--b.example:1": "a--b.example:1",
    "bücher.example:1": "xn--bcher-kva.example:1",
    "xn--bcher-kva.example:1": "xn--bcher-kva.example:1",
    "a。b:1": "a.b:1",
    "0.foo:1": "0.foo:1",
    "a" * 63 + ":1": "a" * 63 + ":1",
}


@pytest.mark.parametrize(("text", "canonical"), ENDPOINTS.items(), ids=ascii)
def test_an_endpoint_is_kept_in_one_spelling(text: str, canonical: str):
    assert parse_endpoint(text) == canonical
    assert parse_endpoint(canonical) == canonical


PORTS = {"+80": 80, "080": 80, "+0080": 80, "0": 0, "1": 1, "65535": 65535, "00065535": 65535}


@pytest.mark.parametrize(("text", "port"), PORTS.items())
def test_a_port_is_what_rust_reads_as_one(text: str, port: int):
    assert parse_endpoint(f"a:{text}") == f"a:{port}"


NO_PORTS = [
    "",
    "65536",
    "99999999999999999999",
    "-0",
    "-1",
    "++1",
    "1_0",
    " 80",
    "80 ",
    "80\n",
    "0x50",
    "٣",
    "8.0",
    "http",
]


@pytest.mark.parametrize("port", NO_PORTS, ids=ascii)
def test_anything_else_is_no_port(port: str):
    with pytest.raises(Refused) as caught:
        parse_endpoint(f"a:{port}")
    assert caught.value.code == "invalid_endpoint"


NO_HOSTS = {
    "empty": "",
    "number too large": "0x100000000",
    "octet too large": "256.1.1.1",
    "five parts": "1.2.3.4.5",
    "not octal": "09.1.1.1",
    "last label a number": "foo.0",
    "last label a hex number": "foo.0x1",
    "unbracketed IPv6": "::1",
    "IPv6 half bracketed": "[::1",
    "IPv6 half bracketed, the other": "::1]",
    "text behind the bracket": "[::1]x",
    "text before the bracket": "x[::1]",
    "IPv4 in brackets": "[1.2.3.4]",
    "zone": "[fe80::1%eth0]",
    "zone, escaped": "[fe80::1%25eth0]",
    "two gaps": "[1::2::3]",
    "a port before the port": "1.2.3.4:80",
    "a port before the port of a domain": "example.com:80",
    "a port behind the bracket": "[::1]:80",
    "a colon behind the domain": "example.com:",
    "bad punycode": "xn--a",
    "blank": "a b",
    "blank before": " a",
    "blank behind": "a ",
    "blank escaped": "a%20b",
    "tab": "a\tb",
    "newline": "a\nb",
    "newline behind": "a\n",
    "carriage return": "a\rb",
    "NUL": "a\0b",
    "NUL escaped": "a%00b",
    "delete": "a\x7fb",
    "escape": "a\x1b[31m",
    "colon escaped": "a%3Ab",
    "percent": "a%",
    "percent escaped": "a%25b",
    "user": "user@example.com",
    "path": "example.com/x",
    "backslash": "example.com\\x",
    "query": "example.com?x",
    "fragment": "example.com#x",
    "angle": "a<b",
    "pipe": "a|b",
    "caret": "a^b",
    "empty label": "a..b",
    "only a dot": ".",
    "label of 64": "a" * 64,
    "dash first": "-a",
    "dash last": "a-",
    "semicolon": "a;b",
    "quote": 'a"b',
    "dollar": "$(reboot)",
    "backquote": "`reboot`",
    "254 characters": ".".join(["a" * 62] * 4) + ".aa",
}


@pytest.mark.parametrize("host", NO_HOSTS.values(), ids=NO_HOSTS)
def test_anything_else_is_no_host(host: str):
    with pytest.raises(Refused) as caught:
        parse_endpoint(f"{host}:51820")
    assert caught.value.code == "invalid_endpoint"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["", ":", "a", "1.2.3.4", "[::1]", ":80", "http://a:80", "http://a:80/"])
def test_a_host_without_a_port_or_with_more_is_no_endpoint(text: str):
    with pytest.raises(Refused) as caught:
        parse_endpoint(text)
    assert caught.value.code == "invalid_endpoint"


PARTS = {
    "1.2.3.4:80": ("1.2.3.4", 80),
    "[fd00::1]:51820": ("fd00::1", 51820),
    "[::ffff:102:304]:5": ("::ffff:102:304", 5),
    "example.com:0": ("example.com", 0),
}


@pytest.mark.parametrize(("text", "parts"), PARTS.items())
def test_an_endpoint_falls_into_host_and_port_and_together_again(text: str, parts: tuple[str, int]):
    assert split_endpoint(Endpoint(text)) == parts
    assert endpoint_of(*parts) == text


ADDRESSES = {"1.2.3.4:80": "1.2.3.4", "[fd00::1]:5": "fd00::1", "example.com:5": None, "1-2-3-4:5": None}


@pytest.mark.parametrize(("text", "address"), ADDRESSES.items())
def test_an_endpoint_has_an_address_unless_its_host_is_a_domain(text: str, address: str | None):
    assert endpoint_address(Endpoint(text)) == (None if address is None else ip_address(address))

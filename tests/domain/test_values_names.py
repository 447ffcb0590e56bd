"""Names, interface names, addresses and ranges: what is one, what is not, and in which one spelling it is kept."""

from ipaddress import ip_address, ip_network

import pytest

from innerd.domain.errors import Refused
from innerd.domain.values import (
    assignable,
    first_address,
    overlaps,
    parse_address,
    parse_interface,
    parse_name,
    parse_range,
    shown,
    within,
)

NAMES = ["a", "0", "ryo-laptop", "a-b-c", "7", "a1-b2", "a" * 63]
NO_NAMES = {
    "empty": "",
    "64 characters": "a" * 64,
    "upper case": "Ryo",
    "dash first": "-a",
    "dash last": "a-",
    "two dashes": "a--b",
    "punycode": "xn--bcher-kva",
    "dot": "a.b",
    "underscore": "a_b",
    "blank": "a b",
    "blank behind": "a ",
    "newline behind": "a\n",
    "not ASCII": "bücher",
    "digit of another script": "٣",
    "escape": "\x1b[31m",
    "hosts-file comment": "a#b",
    "NUL": "a\0b",
    "only a dash": "-",
}


@pytest.mark.parametrize("text", NAMES)
def test_a_host_name_is_a_name(text: str):
    assert parse_name(text) == text


@pytest.mark.parametrize("text", NO_NAMES.values(), ids=NO_NAMES)
def test_anything_else_is_no_name(text: str):
    with pytest.raises(Refused) as caught:
        parse_name(text)
    assert caught.value.code == "invalid_name"


def test_a_refused_name_is_called_what_it_is_of():
    with pytest.raises(Refused, match='CIDR name "A" is not'):
        parse_name("A", "CIDR name")


@pytest.mark.parametrize("text", ["a", "0", "kermpany", "a-b-c", "a" * 15])
def test_an_interface_name_is_a_short_name(text: str):
    assert parse_interface(text) == text


@pytest.mark.parametrize("text", [*NO_NAMES.values(), "a" * 16, "..", "a/b", "a:1"])
def test_what_linux_or_a_file_name_could_misread_is_no_interface(text: str):
    with pytest.raises(Refused) as caught:
        parse_interface(text)
    assert caught.value.code == "invalid_name"


ADDRESSES = {
    "10.42.0.1": "10.42.0.1",
    "0.0.0.0": "0.0.0.0",
    "255.255.255.255": "255.255.255.255",
    "fd00:42::1": "fd00:42::1",
    "FD00:0042:0000::0001": "fd00:42::1",
    "::": "::",
    "::1.2.3.4": "::102:304",
    "fe80::1": "fe80::1",
}


@pytest.mark.parametrize(("text", "canonical"), ADDRESSES.items())
def test_an_address_is_kept_in_one_spelling(text: str, canonical: str):
    assert str(parse_address(text)) == canonical


NO_ADDRESSES = {
    "empty": "",
    "v4-mapped": "::ffff:1.2.3.4",
    "v4-mapped in hex": "::FFFF:102:304",
    "zone": "fe80::1%eth0",
    "empty zone": "fe80::1%",
    "leading zero": "10.042.0.1",
    "octal": "0177.0.0.1",
    "hex": "0x7f.0.0.1",
    "three parts": "10.42.1",
    "five parts": "10.42.1.1.1",
    "a number": "12345",
    "octet too large": "10.256.0.1",
    "blank before": " 10.42.0.1",
    "newline behind": "10.42.0.1\n",
    "brackets": "[::1]",
    "prefix": "10.42.0.1/32",
    "digits of another script": "10.42.0.٣",
    "two gaps": "1::2::3",
    "a domain": "example.com",
}


@pytest.mark.parametrize("text", NO_ADDRESSES.values(), ids=NO_ADDRESSES)
def test_anything_else_is_no_address(text: str):
    with pytest.raises(Refused) as caught:
        parse_address(text)
    assert caught.value.code == "invalid_address"


RANGES = {
    "10.42.0.0/16": "10.42.0.0/16",
    "10.42.7.9/16": "10.42.0.0/16",
    "10.42.071.0/24": "10.42.71.0/24",
    "010.042.000.001/32": "10.42.0.1/32",
    "0.0.0.0/0": "0.0.0.0/0",
    "fd00:42::/64": "fd00:42::/64",
    "FD00:42::1/64": "fd00:42::/64",
    "fd00:42::1/128": "fd00:42::1/128",
}


@pytest.mark.parametrize(("text", "canonical"), RANGES.items())
def test_a_range_is_kept_without_host_bits(text: str, canonical: str):
    assert str(parse_range(text)) == canonical


NO_RANGES = {
    "no prefix": "10.42.0.0",
    "empty prefix": "10.42.0.0/",
    "prefix too long": "10.42.0.0/33",
    "prefix of IPv6 too long": "fd00::/129",
    "zero before the prefix": "10.42.0.0/016",
    "zero before the prefix of IPv6": "fd00::/064",
    "sign": "10.42.0.0/+16",
    "negative": "10.42.0.0/-1",
    "netmask": "10.42.0.0/255.255.0.0",
    "host mask": "10.42.0.0/0.0.255.255",
    "octet too large": "10.256.0.0/16",
    "octal is decimal": "10.0400.0.0/16",
    "three parts": "10.42.0/24",
    "zone": "fe80::%eth0/64",
    "blank behind": "10.42.0.0/16 ",
    "newline behind": "10.42.0.0/16\n",
    "two prefixes": "10.42.0.0/16/16",
    "only a prefix": "/16",
    "empty": "",
    "digits of another script": "10.42.0.0/١٦",
}


@pytest.mark.parametrize("text", NO_RANGES.values(), ids=NO_RANGES)
def test_anything_else_is_no_range(text: str):
    with pytest.raises(Refused) as caught:
        parse_range(text)
    assert caught.value.code == "invalid_range"


# block: the addresses that no peer may have, of those asked for
EDGES = {
    "10.42.3.0/24": (["10.42.3.0", "10.42.3.255"], ["10.42.3.1", "10.42.3.254", "10.42.3.128"]),
    "10.42.3.4/30": (["10.42.3.4", "10.42.3.7"], ["10.42.3.5", "10.42.3.6"]),
    "10.42.3.4/31": ([], ["10.42.3.4", "10.42.3.5"]),
    "10.42.3.4/32": ([], ["10.42.3.4"]),
    "fd00::/64": (["fd00::"], ["fd00::1", "fd00::ffff:ffff:ffff:ffff"]),
    "fd00::4/126": (["fd00::4"], ["fd00::5", "fd00::7"]),
    "fd00::4/127": ([], ["fd00::4", "fd00::5"]),
    "fd00::4/128": ([], ["fd00::4"]),
}


@pytest.mark.parametrize("block", EDGES)
def test_the_edges_of_a_block_are_nobodys(block: str):
    edges, ordinary = EDGES[block]
    assert [a for a in edges + ordinary if assignable(ip_address(a), ip_network(block))] == ordinary


FIRST = {"10.42.0.0/16": "10.42.0.1", "10.42.3.4/31": "10.42.3.4", "10.42.3.4/32": "10.42.3.4", "fd00::/64": "fd00::1"}


@pytest.mark.parametrize(("block", "first"), FIRST.items())
def test_the_first_address_is_the_lowest_assignable(block: str, first: str):
    assert str(first_address(ip_network(block))) == first


PAIRS = {  # one range, another: does the first lie within the second, do they overlap
    ("10.0.0.0/24", "10.0.0.0/16"): (True, True),
    ("10.0.0.0/16", "10.0.0.0/24"): (False, True),
    ("10.0.0.0/24", "10.0.0.0/24"): (True, True),
    ("10.0.0.0/24", "10.0.1.0/24"): (False, False),
    ("fd00::/64", "fd00::/48"): (True, True),
    ("fd00::/64", "fd01::/48"): (False, False),
    ("0.0.0.0/0", "::/0"): (False, False),
    ("::/0", "0.0.0.0/0"): (False, False),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_ranges_lie_in_each_other_within_one_family(pair: tuple[str, str]):
    one, other = map(ip_network, pair)
    assert (within(one, other), overlaps(one, other)) == PAIRS[pair]


SHOWN = {
    "ryo": '"ryo"',
    "a\nb": r'"a\nb"',
    "\x1b[31mred": r'"\x1b[31mred"',
    'say "hi"': r'"say \"hi\""',
    "it's": '"it\'s"',
    "bücher": '"bücher"',
    "\u202egnp": r'"\u202egnp"',
    "back\\slash": r'"back\\slash"',
    "": '""',
    "x" * 80: '"' + "x" * 80 + '"',
    "x" * 81: '"' + "x" * 80 + '…"',
}


@pytest.mark.parametrize(("text", "quoted"), SHOWN.items())
def test_an_error_quotes_what_was_said_without_saying_it_raw(text: str, quoted: str):
    assert shown(text) == quoted


def test_escapes_count_towards_the_length_of_a_quotation():
    assert len(shown("\x1b" * 9_999)) == 80 + len('"…"')
    assert len(shown("x" * 9_999, most=10)) == 10 + len('"…"')

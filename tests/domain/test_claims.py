"""What a network may claim: ranges and suffixes that are nobody else's."""

import pytest

from innerd.domain.claims import check_range, exact_range, is_own_suffix, is_private, parse_suffix
from innerd.domain.errors import Refused
from innerd.domain.values import parse_range

PRIVATE = ["10.42.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.7.0/24", "100.64.0.0/10", "fd42::/48", "fc00::/7"]
PUBLIC = ["8.8.8.0/24", "8.8.0.0/16", "172.32.0.0/16", "192.0.0.0/8", "100.128.0.0/16", "2001:db8::/32"]
NOBODYS = [
    *("0.0.0.0/0", "0.0.0.0/8", "127.0.0.0/8", "127.42.0.0/16", "169.254.0.0/16", "169.254.169.254/32"),
    *("224.0.0.0/8", "239.1.0.0/16", "240.0.0.0/4", "255.255.255.255/32", "128.0.0.0/1", "126.0.0.0/7"),
    *("::/0", "::1/128", "fe80::/10", "ff00::/8", "ff02::/64", "fec0::/10", "8000::/1"),
]


@pytest.mark.parametrize("text", PRIVATE)
def test_a_private_range_is_a_networks_to_have(text: str) -> None:
    check_range(parse_range(text))
    assert is_private(parse_range(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_a_range_that_somebody_has_needs_leave(text: str) -> None:
    with pytest.raises(Refused) as refused:
        check_range(parse_range(text))
    assert (refused.value.code, text in refused.value.message) == ("range_public", True)
    check_range(parse_range(text), public=True)


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("text", NOBODYS)
def test_a_range_in_which_nobody_can_live_is_no_networks_with_any_leave(text: str, public: bool) -> None:
    with pytest.raises(Refused) as refused:
        check_range(parse_range(text), public=public)
    assert refused.value.code == "invalid_range"


@pytest.mark.parametrize("text", ["10.42.7.1/24", "10.42.0.5/16", "fd00::5/64"])
def test_host_bits_are_a_mistake_where_a_range_is_meant(text: str) -> None:
    with pytest.raises(Refused) as refused:
        exact_range(text)
    assert refused.value.code == "invalid_range"
    assert str(parse_range(text)) in (refused.value.hint or "")


@pytest.mark.parametrize("text", ["10.42.7.0/24", "010.42.7.0/24", "10.42.7.1/32", "fd00::/64", "fd00:0:0::0/64"])
def test_a_range_without_host_bits_is_one(text: str) -> None:
    assert exact_range(text) == parse_range(text)


@pytest.mark.parametrize("text", ["wg", "internal", "home.arpa", "corp.internal", "a.b.wg", "x.home.arpa"])
def test_names_of_nobody_else(text: str) -> None:
    assert is_own_suffix(parse_suffix(text))


@pytest.mark.parametrize("text", ["com", "example.com", "arpa", "xwg", "wg.com", "nohome.arpa", "local", "lan"])
def test_names_of_others(text: str) -> None:
    assert not is_own_suffix(parse_suffix(text))


@pytest.mark.parametrize("text", ["", ".", "wg.", ".wg", "a b", "WG", "w\x9bg", "a" * 64, ".".join(["a"] * 100)])
def test_what_is_no_suffix(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_suffix(text)
    assert refused.value.code == "invalid_name"

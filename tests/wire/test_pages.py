"""Whether a request is a web page's, on a socket that listens for programs."""

import pytest

from innerd.wire.pages import why_refused

LOOPBACK, LOOPBACK6, TUNNEL, ALL = "127.0.0.1:9586", "[::1]:9586", "10.42.0.1:9586", "0.0.0.0:9586"


@pytest.mark.parametrize(
    ("where", "host"),
    [
        (LOOPBACK, "127.0.0.1:9586"),
        (LOOPBACK, "localhost:9586"),
        (LOOPBACK6, "[::1]:9586"),
        (LOOPBACK6, "localhost:9586"),
        (TUNNEL, "10.42.0.1:9586"),
        (ALL, "192.0.2.7:9586"),
        (ALL, "localhost:9586"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:80", "[::1]"),
    ],
)
def test_a_program_calls_the_socket_by_its_address(where: str, host: str) -> None:
    assert why_refused([("host", host), ("user-agent", "Prometheus")], where) is None


@pytest.mark.parametrize(
    ("where", "host"),
    [
        (LOOPBACK, "rebound.example:9586"),
        (LOOPBACK, "127.0.0.1"),
        (LOOPBACK, "127.0.0.1:9587"),
        (LOOPBACK, "127.0.0.2:9586"),
        (LOOPBACK, "localhost.evil.example:9586"),
        (TUNNEL, "localhost:9586"),
        (ALL, "rebound.example:9586"),
        (ALL, ""),
        (ALL, ":9586"),
        (ALL, "::1"),
    ],
)
def test_by_another_name_it_gets_nothing(where: str, host: str) -> None:
    assert why_refused([("Host", host)], where) is not None


def test_without_a_host_or_with_two_nobody_knows_whom_it_means() -> None:
    assert why_refused([], LOOPBACK) is not None
    assert why_refused([("host", LOOPBACK), ("Host", LOOPBACK)], LOOPBACK) is not None


@pytest.mark.parametrize("name", ["Origin", "Referer", "origin"])
def test_what_a_page_sent_is_refused(name: str) -> None:
    assert why_refused([("Host", LOOPBACK), (name, "http://127.0.0.1:9586")], LOOPBACK) is not None

"""How many answers a source gets, who is not heard for a while, and what the kernel throws away for it."""

import socket

import pytest

from inndns.budgets import Budgets, mute, widen

RATE = 100.0


def asked(kept: Budgets, source: str, times: int, now: float) -> int:
    """How many of its questions get an answer."""
    return sum(kept.may_have(source, now) for _ in range(times))


def test_two_seconds_at_once_and_then_so_many_a_second() -> None:
    kept = Budgets(RATE)
    assert asked(kept, "ryo", 300, 1000.0) == 200
    assert asked(kept, "mari", 300, 1000.0) == 200
    assert asked(kept, "ryo", 51, 1000.5) == 50
    assert asked(kept, "ryo", 300, 4600.0) == 200
    assert not kept.muted


def test_who_goes_on_past_it_is_not_heard_and_then_again_with_little() -> None:
    kept = Budgets(RATE)
    asked(kept, "ryo", 350, 1000.0)
    assert kept.muted == {"ryo": 1003.0}
    assert asked(kept, "ryo", 10, 1002.9) == 0
    assert asked(kept, "ryo", 30, 1003.1) == 15
    assert not kept.muted


def test_who_does_it_again_is_not_heard_twice_as_long_up_to_a_minute() -> None:
    kept, now, seconds = Budgets(RATE), 1000.0, []
    for _ in range(7):
        asked(kept, "ryo", 400, now)
        seconds.append(kept.muted["ryo"] - now)
        now = kept.muted["ryo"]
    assert seconds == pytest.approx([3, 6, 12, 24, 48, 60, 60])


def test_who_came_to_rest_is_as_good_as_new() -> None:
    kept = Budgets(RATE)
    asked(kept, "ryo", 350, 1000.0)
    kept.hear(1003.0)
    asked(kept, "mari", 1, 1010.0)  # somebody's question makes it look
    asked(kept, "ryo", 350, 1010.0)
    assert kept.muted["ryo"] == pytest.approx(1013.0)


def test_where_many_ask_much_they_share() -> None:
    kept = Budgets(1000.0)
    many = [f"10.42.0.{number}" for number in range(50)]
    for source in many:
        asked(kept, source, 60, 1000.0)
    answered = sum(asked(kept, source, 1000, 1001.0) for source in many)
    assert answered == 50 * 200, "5,000 a second for fifty, two seconds of it at once"
    assert asked(kept, "honest", 20, 1001.0) == 20


def test_it_is_told_when_the_next_is_heard_again() -> None:
    kept = Budgets(RATE)
    assert kept.hear(1000.0) is None
    asked(kept, "ryo", 350, 1000.0)
    asked(kept, "mari", 350, 1001.0)
    assert kept.hear(1002.0) == pytest.approx(1.0)
    assert kept.hear(1003.0) == pytest.approx(1.05), "mari; two are never heard again at once"
    assert kept.hear(1004.1) is None


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_kernel_keeps_those_out_and_no_others(family: socket.AddressFamily) -> None:
    own, others = ("127.0.0.5", ["127.0.0.6", "127.0.1.5"]) if family == socket.AF_INET else ("::1", ["fd00::1", "::2"])
    with socket.socket(family, socket.SOCK_DGRAM) as heard, socket.socket(family, socket.SOCK_DGRAM) as asking:
        heard.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        heard.setblocking(False)
        widen(heard)
        asking.bind((own, 0))

        def is_heard() -> bool:
            asking.sendto(b"?", heard.getsockname())
            try:
                return heard.recv(10) == b"?"
            except BlockingIOError:
                return False

        assert is_heard()
        mute(heard, [*others, own])
        assert not is_heard()
        mute(heard, others)
        assert is_heard()
        many = [f"{'10.42.9.' if family == socket.AF_INET else 'fd00::'}{number}" for number in range(255)]
        mute(heard, [*many, own])  # as many as may be muted
        assert not is_heard()
        mute(heard, [])
        mute(heard, [])
        assert is_heard()

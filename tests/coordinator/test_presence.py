"""Soft state: where peers were seen and what is shown of it, which is innernet's rule (its 4.4) to the letter."""

import pytest

from innerd.coordinator.presence import Observed, Presence, Receipt
from innerd.domain.values import Endpoint

SEEN = Endpoint("203.0.113.9:40001")
SEEN_6 = Endpoint("[2001:db8::9]:40001")
LAN = Endpoint("192.168.1.7:51820")


def seen_at(endpoint: str | None, handshake: float | None = 1000.0) -> Observed:
    return Observed(None if endpoint is None else Endpoint(endpoint), handshake, 0, 0)


def presence(learned: str | None = None, *candidates: str) -> Presence:
    made = Presence()
    if learned is not None:
        made.observe(7, seen_at(learned))
    made.report_candidates(7, tuple(Endpoint(text) for text in candidates))
    return made


@pytest.mark.parametrize(
    ("override", "learned", "shown"),
    [
        (None, None, None),
        (None, SEEN, SEEN),
        ("198.51.100.1:7000", None, "198.51.100.1:7000"),
        ("198.51.100.1:7000", SEEN, "198.51.100.1:7000"),
        ("ryo.example:7000", SEEN, "ryo.example:7000"),
        ("0.0.0.0:7000", SEEN, "203.0.113.9:7000"),
        ("[::]:7000", SEEN, "203.0.113.9:7000"),
        ("0.0.0.0:7000", SEEN_6, "[2001:db8::9]:7000"),
        ("0.0.0.0:7000", None, None),
        ("[::]:7000", None, None),
        ("[::ffff:0:0]:7000", SEEN, "[::ffff:0:0]:7000"),
    ],
    ids=[
        *("nothing known", "learned", "override", "override wins", "domain wins"),
        *("unspecified takes the address", "unspecified IPv6 takes it", "learned IPv6 keeps brackets"),
        *("unspecified, nothing learned", "unspecified IPv6, nothing learned", "mapped zero is an address"),
    ],
)
def test_the_endpoint_that_is_shown(override: str | None, learned: str | None, shown: str | None) -> None:
    wish = None if override is None else Endpoint(override)
    assert presence(learned).shown_endpoint(7, wish) == shown


@pytest.mark.parametrize(
    ("reported", "learned", "shown", "candidates"),
    [
        ([], None, None, []),
        ([LAN], None, None, [LAN]),
        ([LAN], SEEN, SEEN, [LAN]),
        ([LAN], SEEN, "198.51.100.1:7000", [LAN, SEEN]),
        ([], SEEN, "198.51.100.1:7000", [SEEN]),
        ([SEEN, LAN], SEEN, "198.51.100.1:7000", [SEEN, LAN]),
        ([LAN], SEEN, "203.0.113.9:7000", [LAN, SEEN]),
    ],
    ids=[
        *("nothing", "reported", "learned is shown already", "learned goes last", "learned alone"),
        *("learned is among them", "same address, other port"),
    ],
)
def test_the_candidates_that_are_shown(
    reported: list[str], learned: str | None, shown: str | None, candidates: list[str]
) -> None:
    endpoint = None if shown is None else Endpoint(shown)
    assert presence(learned, *reported).shown_candidates(7, endpoint) == tuple(candidates)


@pytest.mark.parametrize(
    ("streaming", "handshake", "online"),
    [
        (False, None, False),
        (True, None, True),
        (True, 0.0, True),
        (False, 1000.0, True),
        (False, 820.1, True),
        (False, 820.0, False),
    ],
    ids=["never heard of", "stream alone", "stream, old handshake", "just now", "within three minutes", "then not"],
)
def test_who_is_online(streaming: bool, handshake: float | None, online: bool) -> None:
    p = Presence()
    p.observe(7, seen_at(SEEN, handshake))
    if streaming:
        p.stream_opened(7)
    assert p.is_online(7, 1000.0) is online
    assert p.is_online(8, 1000.0) is False


def test_a_closed_stream_is_a_peer_offline() -> None:
    p = Presence()
    p.stream_opened(7)
    p.stream_closed(7)
    assert not p.is_online(7, 1000.0)


def test_who_was_let_go_of_is_not_here_until_it_shakes_hands_again() -> None:
    now = 1000.0
    p = Presence(lambda: now)
    p.observe(7, seen_at(SEEN, 999.0))
    assert p.is_online(7, now)
    p.let_go(7)
    assert not p.is_online(7, now)
    assert (p.handshake(7), p.learned(7)) == (999.0, SEEN), "it was seen all the same"
    p.observe(7, seen_at(SEEN, 1001.0))
    assert p.is_online(7, now)


def test_endpoints_learned_lately_are_known_again() -> None:
    """innernet's clients put an endpoint back that was injected into what they read: that is no override."""
    p = Presence()
    for port in range(1, 19):
        p.observe(7, seen_at(f"203.0.113.9:{port}"))
    assert [port for port in range(1, 20) if p.was_learned(7, Endpoint(f"203.0.113.9:{port}"))] == list(range(3, 19))
    assert not p.was_learned(8, Endpoint("203.0.113.9:18"))


def test_the_same_endpoint_again_pushes_no_other_out() -> None:
    p = Presence()
    p.observe(7, seen_at(LAN))
    for at in range(100):
        p.observe(7, seen_at(SEEN, float(at)))
    assert p.was_learned(7, LAN)


def test_only_what_others_would_care_for_stirs() -> None:
    p, stirred = Presence(), []
    p.on_news(lambda: stirred.append(len(stirred)))
    p.observe(7, seen_at(SEEN, 1000.0))
    p.observe(7, seen_at(SEEN, 1100.0))  # handshakes and bytes go up all the time
    p.report_candidates(8, ())
    p.report_applied(9, Receipt(3, 1000.0))
    assert (len(stirred), p.drain()) == (1, {7})
    p.observe(7, seen_at(LAN))
    p.report_candidates(8, (LAN,))
    p.report_candidates(8, (LAN,))
    p.stream_opened(9)
    assert (len(stirred), p.drain(), p.drain()) == (4, {7, 8, 9}, set())


def test_a_peer_seen_without_an_endpoint_is_learned_nowhere() -> None:
    p = presence(SEEN)
    p.observe(7, seen_at(None))
    assert (p.learned(7), p.handshake(7)) == (None, 1000.0)
    assert p.was_learned(7, SEEN)


def test_nothing_stays_of_a_peer_that_is_gone_for_good() -> None:
    p = presence(SEEN, LAN)
    p.stream_opened(7)
    p.report_applied(7, Receipt(3, 1000.0))
    p.told[7] = 3
    p.forget(7)
    assert (p.learned(7), p.handshake(7), p.applied(7), p.drain()) == (None, None, None, set())
    assert (p.is_online(7, 1000.0), p.was_learned(7, SEEN), p.shown_candidates(7, None)) == (False, False, ())
    assert 7 not in p.told

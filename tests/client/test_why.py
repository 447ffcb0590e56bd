"""`why` on a terminal: since when and by whose hand, or how far back it is remembered."""

import pytest

from innerd.domain import sight
from tests.client.commands import Host
from tests.client.conftest import NETWORK


def associated_anew(host: Host) -> None:
    host.ok("add-association", NETWORK, "humans", "ovens")
    host.ok("delete-association", NETWORK, "humans", "ovens", "--yes")
    host.ok("add-association", NETWORK, "humans", "ovens")


def test_since_when_and_by_whom(host: Host) -> None:
    associated_anew(host)
    said = host.ok("why", NETWORK, "ryo", "oven")
    assert "association.added, by local:" in said
    assert "before" not in said


def test_what_is_not_remembered_is_said_not_to_be(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    associated_anew(host)
    monkeypatch.setattr(sight, "_OVER", 0)
    said = host.ok("why", NETWORK, "ryo", "mari")
    assert "\n  since before revision " in said
    assert "which is as far as the coordinator remembers" in said

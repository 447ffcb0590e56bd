"""Every stable code has the exit status that the contract gives its kind, and an error has one form on stderr."""

import json

import pytest

from innerd import failure
from innerd.domain.errors import CODES, Refused
from innerd.failure import Failure, as_failure, report, status_of_code
from innerd.wireguard.device import DeviceError, NoSuchDevice

# The contract's table, written down again on purpose: from the words there, code by code where a word names one.
USAGE = {
    *(
        "invalid_name",
        "invalid_address",
        "invalid_range",
        "invalid_key",
        "invalid_endpoint",
        "invalid_request",
        "invalid_record",
        "invalid_checkpoint",
        "invalid_rate",
    ),
    *("length_required", "body_too_large", "too_many_candidates"),
}
NOT_FOUND = {
    "peer_not_found",
    "cidr_not_found",
    "association_not_found",
    "record_not_found",
    "network_not_found",
    "not_found",
}
UNREACHABLE = {"store_unavailable", "rate_limited", "not_serving", "busy"}
INVITATION = {"invitation_expired", "invitation_used"}


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_the_exit_status_of_the_contract(code: str) -> None:
    expected = 3  # refused by a rule of the network
    for codes, status in (({"log_corrupt"}, 7), (USAGE, 2), (NOT_FOUND, 4), (UNREACHABLE, 5), (INVITATION, 8)):
        if code in codes:
            expected = status
    assert status_of_code(code) == expected


def test_every_code_of_the_table_above_exists() -> None:
    assert set(CODES) >= USAGE | NOT_FOUND | UNREACHABLE | INVITATION


def test_a_code_that_a_newer_coordinator_says_is_a_refusal() -> None:
    assert status_of_code("cidr_too_pretty") == 3


def permission() -> OSError:
    return PermissionError(13, "Permission denied", "/etc/inn/kermpany.toml")


WHO_IS_DENIED = "run it as root; where that is kept out too, look at lsattr and at how it is mounted"
EXPECTED = [
    pytest.param(Refused("cidr_full", "full", "widen it"), (3, "cidr_full", "full", "widen it"), id="a refusal"),
    pytest.param(DeviceError("port_in_use", "taken", "ss"), (6, "port_in_use", "taken", "ss"), id="a device"),
    pytest.param(
        permission(),
        (6, "permission_denied", "/etc/inn/kermpany.toml: permission denied", WHO_IS_DENIED),
        id="permission",
    ),
    pytest.param(
        OSError(28, "No space left", "/x"),
        (6, "os_error", "/x: No space left", "make room on that disk"),
        id="the system",
    ),
]


@pytest.mark.parametrize(("error", "said"), EXPECTED)
def test_what_is_expected_to_go_wrong_is_a_failure(error: Exception, said: tuple) -> None:
    failure = as_failure(error)
    assert failure is not None
    assert (failure.status, failure.code, failure.message, failure.hint) == said


def test_an_interface_that_is_down_says_how_to_bring_it_up() -> None:
    failure = as_failure(NoSuchDevice("kermpany"))
    assert failure is not None
    assert (failure.status, failure.code) == (6, "interface_down")
    assert "inn up kermpany" in (failure.hint or "")


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), AssertionError()])
def test_anything_else_is_a_bug(error: Exception) -> None:
    assert as_failure(error) is None


def test_an_error_is_a_sentence_a_code_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    report(Failure(3, "cidr_full", 'no free address left in CIDR "humans" (10.42.128.0/30)', "widen it"))
    said = 'error: no free address left in CIDR "humans" (10.42.128.0/30) [cidr_full]\nhint: widen it\n'
    assert capsys.readouterr() == ("", said)


def test_an_error_without_a_hint_has_no_hint_line(capsys: pytest.CaptureFixture[str]) -> None:
    report(Failure(1, "internal", "oh"))
    assert capsys.readouterr().err == "error: oh [internal]\n"


@pytest.mark.parametrize("hint", ["widen it", None])
def test_an_error_in_json_is_one_document_on_stderr(capsys: pytest.CaptureFixture[str], hint: str | None) -> None:
    report(Failure(3, "cidr_full", 'say "full"\n', hint), as_json=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {"error": {"code": "cidr_full", "message": 'say "full"\n', "hint": hint}}


def test_the_statuses_are_those_of_the_contract() -> None:
    f = failure
    statuses = (f.INTERNAL, f.USAGE, f.REFUSED, f.NOT_FOUND, f.UNREACHABLE, f.SYSTEM, f.TRUST, f.INVITATION)
    assert statuses == (1, 2, 3, 4, 5, 6, 7, 8)
    assert f.INTERRUPTED == 130

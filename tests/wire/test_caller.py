"""What clients say of themselves: little of it is believed to be a program and its release."""

import pytest

from innerd.wire.caller import is_older, parse_run, parse_software


@pytest.mark.parametrize(
    ("agent", "software"),
    [
        ("inn/0.1.0", "inn/0.1.0"),
        ("ureq/2.12.1", "ureq/2.12.1"),
        ("inn/0.2.0~rc1+git", "inn/0.2.0~rc1+git"),
        ("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0"),
        ("", None),
        ("inn", None),
        ("inn/", None),
        (" inn/1", None),
        ("inn/1\x1b[31m", None),
        ("inn/\u202e1", None),
        ("ïnn/1", None),
        ('inn/1"} 1', None),
        ("inn/1\n", None),
        ("inn/" + "1" * 24, None),
        ("i" * 25 + "/1", None),
    ],
)
def test_a_program_and_its_release(agent: str, software: str | None) -> None:
    assert parse_software(agent) == software


@pytest.mark.parametrize("text", ["", "A" * 16, "0" * 15, "0" * 17, "0" * 15 + "\n", "g" * 16])
def test_what_is_no_run(text: str) -> None:
    assert parse_run(text) is None
    assert parse_run("0123456789abcdef") == "0123456789abcdef"


@pytest.mark.parametrize(
    ("software", "older"),
    [
        ("inn/0.9.0", True),
        ("inn/0.10", False),
        ("inn/0.10.1", False),
        ("inn/0.9.0~rc1", True),
        ("inn/one", False),
        ("ureq/0.1", False),
        ("inn/9999999.1", False),
    ],
)
def test_which_inn_is_older(software: str, older: bool) -> None:
    assert is_older(software, "0.10.0") is older

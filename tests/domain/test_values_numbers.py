"""Numbers that others write: digits, and nothing that makes Python raise."""

import pytest

from innerd.domain.values import whole_number

LONG = "9" * 5000


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("7", 7), ("007", 7), ("0" * 5000, 0), ("0" * 5000 + "7", 7), (str(2**63 - 1), 2**63 - 1)],
)
def test_digits_are_a_number(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", " ", "-1", "+1", "1 ", "1_0", "0x1", "1.0", "²", "٣", LONG, str(2**63), "\x00"])
def test_all_else_is_none(text: str) -> None:
    assert whole_number(text) is None


def test_what_is_too_much_is_said_by_who_asks() -> None:
    assert whole_number("65535", 65535) == 65535
    assert whole_number("65536", 65535) is None

"""Text from elsewhere on a terminal: what would move the cursor, colour or turn lines around is shown escaped."""

import pytest

from innclient.failures import Failure, printable, report

C0, C1 = "\0\a\b\t\n\r\x1b\x1f\x7f", "\x80\x85\x9b\x9d\x9f"
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SPELLED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


@pytest.mark.parametrize("sign", C0 + C1 + BIDI, ids=ascii)
def test_a_control_is_shown_escaped(sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = f"\\x{ord(sign):02x}" if ord(sign) < 0x100 else f"\\u{ord(sign):04x}"
    escaped = SPELLED.get(sign, code)
    assert printable(f"a{sign}b") == f"a{escaped}b"
    report(Failure(3, f"c{sign}", f"m{sign}", f"h{sign}"))
    assert capsys.readouterr().err == f"error: m{escaped} [c{escaped}]\nhint: h{escaped}\n"


def test_text_of_any_language_stays_as_it_is() -> None:
    text = 'größe "日本" żółw עברית 🐱 \\ back'
    assert printable(text) == text

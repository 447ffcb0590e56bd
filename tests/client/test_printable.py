"""Text from elsewhere on a terminal: what would move the cursor, colour or turn lines around is shown escaped, by what
prints and nowhere else; in JSON it is spelled as JSON spells it."""

import contextlib
import io
import json
from collections.abc import Callable

import pytest
import structlog

from innerd.command import output
from innerd.failure import Failure, report
from innerd.host import logs
from innerd.terminal import printable

C0, C1 = "\0\a\b\t\n\r\x1b\x1f\x7f", "\x80\x85\x9b\x9d\x9f"
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
OTHERS = "\u00ad\u200b\u2028\u2029\ufeff\U000e0041"  # soft hyphens, ends of lines, tags
ALL = C0 + C1 + BIDI + OTHERS
SPELLED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def escaped(sign: str) -> str:
    if sign in SPELLED:
        return SPELLED[sign]
    number = ord(sign)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


@pytest.mark.parametrize("sign", ALL, ids=ascii)
def test_a_control_is_shown_escaped(sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    spelled = escaped(sign)
    assert printable(f"a{sign}b") == f"a{spelled}b"
    report(Failure(3, f"c{sign}", f"m{sign}", f"h{sign}"))
    assert capsys.readouterr().err == f"error: m{spelled} [c{spelled}]\nhint: h{spelled}\n"


def test_half_a_character_can_be_printed_too() -> None:
    assert printable("a\ud800b") == "a\\ud800b"


def test_text_of_any_language_stays_as_it_is() -> None:
    text = 'größe "日本" żółw עברית 🐱 \\ back'
    assert printable(text) == text


PRINTED: dict[str, Callable[[str], None]] = {
    "a line": output.line,
    "a coloured part": lambda text: output.line("x ", output.Styled(text, "32")),
    "a line of a list": lambda text: output.item(text),
    "a cell": lambda text: output.table(("NAME", "IP"), [(text, "10.42.128.1")]),
    "a head": lambda text: output.table((text,), []),
}


@pytest.mark.parametrize("prints", PRINTED.values(), ids=PRINTED)
def test_what_prints_escapes(prints: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    for sign in ALL:
        prints(f"a{sign}b")
        said = capsys.readouterr().out
        assert f"a{escaped(sign)}b" in said
        assert said.replace("\n", "").isprintable()


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen()
    with contextlib.redirect_stdout(screen):
        output.line("\x1b[31mred ", output.Styled("\x1b[0mryo", "32"))
    assert screen.getvalue() == "\\x1b[31mred \x1b[32m\\x1b[0mryo\x1b[0m\n"


def test_columns_are_as_wide_as_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("NAME", "IP"), [("\x9b", "10.42.128.1"), ("mari", "10.42.128.2")])
    assert capsys.readouterr().out == "NAME  IP\n\\x9b  10.42.128.1\nmari  10.42.128.2\n"


JSON: dict[str, Callable[[str], None]] = {
    "a document": lambda text: output.document({"name": text, text: [text]}),
    "one of many": lambda text: output.compact({"name": text}),
    "an error": lambda text: report(Failure(3, "code", text, text), as_json=True),
}


@pytest.mark.parametrize("prints", JSON.values(), ids=JSON)
def test_json_has_no_raw_controls_and_says_the_same(
    prints: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    prints(f"a{ALL}b")
    said = "".join(capsys.readouterr())
    assert said.replace("\n", "").isprintable()
    texts: list[object] = [json.loads(said)]
    while texts:
        one = texts.pop()
        if isinstance(one, dict):
            texts += one.values()
        elif isinstance(one, list):
            texts += one
        else:
            assert one in (f"a{ALL}b", "code")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_escapes_what_is_said_and_what_was_raised(form: logs.Format, capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    logs.configure(form, 2)
    log = structlog.get_logger("agent")
    signs = ALL.replace("\n", "")
    try:
        raise ValueError(f"a{signs}b")
    except ValueError as error:
        log.error(f"x{ALL}y", why=f"c{ALL}d", told=[f"e{ALL}f"], exc_info=error)
    finally:
        structlog.configure(**before)
    said = capsys.readouterr().err
    assert said.replace("\n", "").isprintable()
    assert "ValueError" in said
    assert said.count("\n") == 1 or form == "text"

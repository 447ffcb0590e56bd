"""How help looks: usage, what a command is for, its flags or verbs in boxes, examples. Drawn by ourselves: a library of
boxes and colours takes longer to load than everything else that help needs.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import click

from innerd.command.styles import in_style, is_styled, size

_BOLD, _DIM, _USAGE = "1", "2", "33"
_NAME, _SHORT, _VALUE = "1;36", "1;32", "1;33"
_IN_TEXT = re.compile(
    r"(?<![\w-])(?:(--[a-zA-Z][\w-]*\w)|(-[a-zA-Z](?:[\w-]*\w)?))|(<[^>]+>)|(\[default: .*\]$)|(\[required\]$)"
)
_OF_THESE = (_NAME, _SHORT, _VALUE, "2", "2;31")
_WORD, _FLAG = re.compile(r"\w+"), re.compile(r"--[\w…-]+")
_GAP = 2  # between columns
_SQUARE = str.maketrans("╭─╮│╰╯", "+-+|++")  # for who has no better

Row = tuple[str, ...]  # in a box: flags have three columns, verbs two


class Page:
    """Help that is being drawn, as wide as the terminal is and no wider than `most`."""

    def __init__(self, most: int) -> None:
        self._width = min(size()[0], most)
        self._lines: list[str] = []
        self._is_styled = is_styled()

    def text(self) -> str:
        whole = "\n".join(self._lines)
        return whole if (sys.stdout.encoding or "utf-8").lower().startswith("utf") else whole.translate(_SQUARE)

    def usage(self, path: str, pieces: Iterable[str]) -> None:
        """How the command is typed."""
        self._blank()
        first, *more = wrapped(" ".join(["Usage:", path, *pieces]), self._width - 2)
        said = self._styled("Usage:", _USAGE) + " " + self._styled(path, _BOLD)
        plain = f"Usage: {path}"
        self._padded(first, said + self._words(first.removeprefix(plain)))
        for line in more:
            self._padded(line, self._words(line))
        self._blank()

    def paragraphs(self, text: str) -> None:
        """What the command is for: the first paragraph as it is, the others fainter."""
        for number, paragraph in enumerate(text.split("\n\n")):
            for line in wrapped(" ".join(paragraph.split()), self._width - 2):
                self._padded(line, self._in_text(line, _DIM if number else ""))
        self._blank()

    def verbs(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        names, texts = (max(len(row[column]) for row in rows) for column in range(2))
        widths = _widened([names, min(texts, self._width - 4 - _GAP - names)], self._width - 4)
        self._box(title, rows, widths, [self._name, self._in_text])

    def flags(self, title: str, rows: Sequence[tuple[str, str, str]]) -> None:
        """Letters, words with their values, what they mean."""
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        columns = [0, 1, 2] if widths[0] else [1, 2]
        room = self._width - 4 - (widths[0] + _GAP if widths[0] else 0)
        widths[1:] = _narrowed(widths[1], widths[2], room - _GAP)
        drawn = [self._letter, self._word, self._in_text]
        shown = [tuple(row[column] for column in columns) for row in rows]
        self._box(title, shown, [widths[at] for at in columns], [drawn[at] for at in columns])

    def plain(self, lines: Iterable[str]) -> None:
        self._lines += lines

    def _box(self, title: str, rows: Iterable[Row], widths: list[int], drawn: list[Callable[[str], str]]) -> None:
        room = self._width - 4
        self._lines.append(self._styled(f"╭─ {title} {'─' * (room - len(title) - 1)}╮", _DIM))
        side = self._styled("│", _DIM)
        for row in rows:
            cells = [wrapped(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
            for at in range(max(map(len, cells))):
                parts = [cell[at] if at < len(cell) else "" for cell in cells]
                parts = [_cut(part, width) for part, width in zip(parts, widths, strict=True)]
                blanks = [" " * (width - len(part)) for part, width in zip(parts, widths, strict=True)]
                line = (" " * _GAP).join(draw(p) + b for draw, p, b in zip(drawn, parts, blanks, strict=True))
                rest = " " * (room - sum(widths) - _GAP * (len(widths) - 1))
                self._lines.append(f"{side} {line}{rest} {side}")
        self._lines.append(self._styled(f"╰{'─' * (room + 2)}╯", _DIM))

    def _padded(self, plain: str, shown: str) -> None:
        self._lines.append(f" {shown}{' ' * (self._width - 1 - len(plain))}")

    def _blank(self) -> None:
        self._padded("", "")

    # -- colours -----------------------------------------------------------------------------------------------------

    def _styled(self, text: str, code: str) -> str:
        return in_style(text, code) if self._is_styled and text and code else text

    def _words(self, text: str) -> str:
        return _WORD.sub(lambda found: self._styled(found[0], _NAME), text)

    def _name(self, text: str) -> str:
        return self._styled(text, _NAME)

    def _letter(self, text: str) -> str:
        return self._styled(text, _SHORT)

    def _word(self, text: str) -> str:
        """`--flag (VALUE)`, or a line of it."""
        found = _FLAG.match(text)
        flag = found[0] if found else ""
        return self._styled(flag, _NAME) + self._styled(text[len(flag) :], _VALUE)

    def _in_text(self, text: str, code: str = "") -> str:
        """Flags and <values> in a sentence stand out."""
        parts, at = [], 0
        for found in _IN_TEXT.finditer(text):
            own = _OF_THESE[(found.lastindex or 1) - 1]
            parts += [self._styled(text[at : found.start()], code), self._styled(found[0], f"{own};{code}".strip(";"))]
            at = found.end()
        return "".join([*parts, self._styled(text[at:], code)])


def wrapped(text: str, width: int) -> list[str]:
    """Lines of whole words."""
    lines: list[str] = []
    for word in text.split(" ") if text else ():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _narrowed(names: int, texts: int, room: int) -> tuple[int, int]:
    """Two columns that fit, taken from the wider one (with its gaps) until both are as wide, then from both."""
    excess = names + texts - room
    if excess <= 0:
        return names, texts
    difference = names + 1 - texts
    level = min(abs(difference), excess)
    half = round((excess - level) / 2)
    names -= half + (level if difference > 0 else 0)
    return names, room - names


def _widened(widths: list[int], room: int) -> list[int]:
    """Columns that fill a box: what is left goes to each by how wide it is, with its gaps."""
    last = len(widths) - 1
    shares = [width + (at > 0) + (at < last) for at, width in enumerate(widths)]
    left, whole = room - sum(shares), sum(shares)
    for at, share in enumerate(shares):
        more = -(-share * left // whole)
        widths[at] += more
        left, whole = left - more, whole - share
    return widths


def rows_of(options: Iterable[click.Option], context: click.Context) -> Iterator[tuple[str, str, str]]:
    """The rows of flags in a box."""
    for option in options:
        letters = [name for name in option.opts if not name.startswith("--")]
        words = [name for name in option.opts if name.startswith("--")]
        value = "" if option.is_flag else option.make_metavar(context).translate({91: None, 93: None})
        said = [option.help or "", *([f"[default: {option.default}]"] if option.show_default else [])]
        said += ["[required]"] if option.required else []
        yield ",".join(letters), ",".join(words) + (f" ({value})" if value else ""), " ".join(said)


def begun(command: click.Command, context: click.Context) -> Page:
    """A page with its head: how the command is typed, and what it is for."""
    page = Page(context.max_content_width or 80)
    page.usage(context.command_path, command.collect_usage_pieces(context))
    page.paragraphs(inspect.cleandoc(command.help or ""))
    return page

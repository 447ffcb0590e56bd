"""The pages of the documentation as data: their code blocks, and the commands in those.

A block of kind `console` is what a reader sees on terminals. A line that begins with a host's name and `#` is a command
of root there; the lines below it are what it answers. It reads as it is, and a test can run it: nothing else is
needed. Lines that end with a backslash go on; so does a here-document.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GENERATED = {"cli.md"}  # by deploy/site/generate.py, and compared with what it writes
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

_FENCE = re.compile(r"^( *)```([\w-]*)\s*$")
_PROMPT = re.compile(r"^(?:([a-z][a-z0-9-]*)#|\$) (.+)$")
_HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?")
_TERMINAL = {"console"}
_SYNOPSIS = "[GLOBAL FLAGS]"
# A line of another block that begins with one of these is a command that no test would run.
_COMMANDS = re.compile(
    r"^(?:[\w-]*[#$] |# )?(?:sudo )?(?:inn|innerd|make|apt(?:-get)?|systemctl|journalctl|curl|dig|ping|cp|mv|"
    r"rm|ls|cat|install|mkdir|touch|chmod|"
    r"umask|wg|ip|nft|iptables|scp|ssh|podman|docker|pipx|pip|uv|python3?|sqlite3|datasette|litestream|promtool|"
    r"resolvectl|getent|dpkg|git|echo|tail|grep|kill)(?: |$)"
)


@dataclass(frozen=True)
class Block:
    """A code block: its kind (the word behind the fence, `indented` without one) and its lines."""

    page: str
    line: int  # of its first line, from 1
    kind: str
    lines: tuple[str, ...]


@dataclass
class Step:
    """A command on a terminal of a page, and the lines shown below it. Without a host it is the developer's own."""

    page: str
    line: int
    host: str | None
    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    """The code blocks of a page, in order; fenced ones, and lines that are indented by four."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == "```")
            inside = tuple(line.removeprefix(fence[1]) for line in lines[at + 1 : end])
            yield Block(path.name, at + 2, fence[2] or "plain", inside)
            at = end + 1
        elif lines[at].startswith("    "):
            end = next((n for n in range(at, len(lines)) if not lines[n].startswith("    ")), len(lines))
            yield Block(path.name, at + 1, "indented", tuple(line.strip() for line in lines[at:end]))
            at = end
        else:
            at += 1


def steps(path: Path) -> Iterator[Step]:
    """The commands on a page's terminals, in order."""
    for block in blocks(path):
        if block.kind in _TERMINAL:
            yield from _typed(block)


def _typed(block: Block) -> Iterator[Step]:
    step: Step | None = None
    lines = iter(enumerate(block.lines, block.line))
    for number, line in lines:
        prompt = _PROMPT.match(line)
        if prompt:
            if step:
                yield step
            step = Step(block.page, number, prompt[1], _whole(prompt[2], lines))
        elif step:
            step.shown.append(line)
        else:
            raise AssertionError(f"{block.page}:{number}: a terminal begins with a command: {line!r}")
    if step:
        step.shown = _trimmed(step.shown)
        yield step


def _whole(command: str, lines: Iterator[tuple[int, str]]) -> str:
    """A command with the lines that it goes on with."""
    ending = _HEREDOC.search(command)
    while command.endswith("\\") or (ending and command.splitlines()[-1] != ending[1]):
        command += "\n" + next(lines)[1]
    return command


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def strays(path: Path) -> Iterator[str]:
    """Commands in blocks that are no terminals."""
    for block in blocks(path):
        if block.kind not in _TERMINAL:
            for number, line in enumerate(block.lines, block.line):
                if _COMMANDS.match(line) and _SYNOPSIS not in line:
                    yield f"{block.page}:{number}: {line}"


def statuses_of(code: str) -> set[int]:
    """The exit statuses of an error's code, as the reference has them."""
    rows = re.findall(r"^\| (\d+)[^|]*\|(.*)\|$", (DOCS / "exit-status.md").read_text(encoding="utf-8"), re.M)
    return {int(status) for status, codes in rows if f"`{code}`" in codes}


# -- what a terminal shows, compared ----------------------------------------------------------------------------------

_KEY = r"(?<![\w+/])[A-Za-z0-9+/]{43}="
# What differs from run to run, in the order in which it is looked for; compared by its shape alone.
_VOLATILE = [
    (re.compile(r"\bjust now\b|\b\d+ (second|minute|hour|day)s?(, \d+ (second|minute)s?)? ago\b"), "AGE"),
    (re.compile(_KEY), "KEY"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "HASH"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DAY"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|seconds?|minutes?|h|d|B|KiB|MiB|GiB)\b"), "AMOUNT"),
]


def shape(line: str) -> str:
    """A line without what differs from run to run, and with single spaces."""
    for pattern, word in _VOLATILE:
        line = pattern.sub(word, line)
    return re.sub(r"\s+", " ", line).strip()


def agrees(shown: list[str], said: list[str]) -> bool:
    """Whether a command said what the page shows. `…` stands for anything: alone on a line for any number of lines,
    within a line for a part of it."""
    wanted = [line for line in map(shape, shown) if line]
    found = [line for line in map(shape, said) if line]
    pattern = "".join(r"(?:[^\n]*\n)*" if line in ("…", "...") else _like(line) + r"\n" for line in wanted)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in found)) is not None


def _like(line: str) -> str:
    return r"[^\n]*".join(re.escape(part) for part in line.split("…"))

"""Writes the man pages from the commands themselves: `python deploy/man/generate.py FOLDER [--release R] [--date D]`.

innerd(8) and inn(8) hold every verb with all its flags, in the groups of `--help`; each verb has a page of its own too,
with the examples of its help. What the commands can't say (files, statuses) is in `prose`. Plain man(7) macros, so that
no other tool is needed.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parent))
import prose

import innclient.cli
import innerd
import innerd.cli
from innerd.command import guide
from innerd.command.options import global_flags

GROUPS: dict[str, click.Group] = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}
SECTION = "8"
ONE_LINERS = {
    "innerd": "coordinator of a private WireGuard network",
    "inn": "peer of private WireGuard networks",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the man pages.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--release", default=innerd.__version__)
    parser.add_argument("--date", default="")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(given.release, given.date).items():
        (given.folder / name).write_text(text, encoding="utf-8")


def pages(release: str, date: str) -> dict[str, str]:
    """Every page by its file name."""
    made = {f"{program}.{SECTION}": whole(program, release, date) for program in GROUPS}
    for program, group in GROUPS.items():
        for verb in group.commands:
            name = guide.ALIASES.get(verb, verb)
            page = single(f"{program} {verb}", release, date) if name == verb else other(program, name)
            made[f"{program}-{verb}.{SECTION}"] = page
    return made


def other(program: str, verb: str) -> str:
    """The page of a second name: the first one's."""
    return f".so man{SECTION}/{program}-{verb}.{SECTION}\n"


def whole(program: str, release: str, date: str) -> str:
    """The page of a program: all verbs, all flags."""
    group = GROUPS[program]
    context = click.Context(group, info_name=program)
    verb = "VERB" if program == "innerd" else "[VERB]"
    lines = [*head(program, ONE_LINERS[program], release, date)]
    lines += [
        ".SH SYNOPSIS",
        f".B {plain(program)}",
        rf"[\fIglobal options\fR] {verb} [\fIarguments\fR] [\fIoptions\fR]",
    ]
    lines += [".SH DESCRIPTION", *paragraphs(group.help or "")]
    example = f"`{program}-{next(iter(group.commands))}`({SECTION})"
    lines += [
        ".PP",
        text(f"Each verb has a page of its own, with examples, such as {example}, and takes the global options"),
    ]
    lines += [text("too, but for letters that it uses itself.")]
    for title, verbs in guide.GROUPS[program].items():
        lines.append(f".SH {title.upper()}")
        for name in verbs:
            lines += [f".SS {synopsis(program, name)}", *paragraphs(group.commands[name].help or "")]
            lines += options(own_options(group.commands[name]), context)
    lines += [".SH GLOBAL OPTIONS", text("They may stand before the verb and after it.")]
    lines += options([*global_flags(), *version_flags(group)], context)
    return finished([*lines, *tail(program, program)])


def single(title: str, release: str, date: str) -> str:
    """The page of one verb."""
    program, _, verb = title.partition(" ")
    command = GROUPS[program].commands[verb]
    said = command.help or ""
    short = guide.in_one_line(said).rstrip("?")
    lines = [*head(title.replace(" ", "-"), short[0].lower() + short[1:], release, date)]
    lines += [".SH SYNOPSIS", rf"\fB{plain(program)}\fR {synopsis(program, verb)} [\fIoptions\fR]"]
    lines += [".SH DESCRIPTION", *paragraphs(said)]
    for paragraph in prose.PAGES.get(title, ()):
        lines += [".PP", text(paragraph)]
    lines += [".SH OPTIONS", *options(own_options(command), click.Context(command, info_name=verb))]
    lines += [".PP", rf"The global options are in \fB{plain(program)}\fR({SECTION})."]
    return finished([*lines, *tail(program, title)])


# -- parts of a page --------------------------------------------------------------------------------------------------


def head(name: str, short: str, release: str, date: str) -> Iterator[str]:
    yield '.\\" Made by deploy/man/generate.py from the commands themselves.'
    yield f'.TH {plain(name.upper())} {SECTION} "{date}" "innerd {plain(release)}" "innerd"'
    yield ".SH NAME"
    yield rf"{plain(name)} \- {text(short)}"


def synopsis(program: str, verb: str) -> str:
    """The verb and its arguments."""
    command = GROUPS[program].commands[verb]
    context = click.Context(command, info_name=verb)
    words = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    return " ".join([rf"\fB{plain(verb)}\fR", *(rf"\fI{plain(word)}\fR" for word in words)])


def own_options(command: click.Command) -> list[click.Parameter]:
    """A command's options without the global ones."""
    known = {name for option in global_flags() for name in option.opts if name.startswith("--")}
    return [p for p in command.params if isinstance(p, click.Option) and not known & set(p.opts)]


def version_flags(group: click.Group) -> list[click.Parameter]:
    return [p for p in group.params if "--version" in p.opts]


def options(parameters: Iterable[click.Parameter], context: click.Context) -> list[str]:
    lines: list[str] = []
    for parameter in parameters:
        record: Any = parameter.get_help_record(context)
        if record is None:
            continue
        # The words in bold, what stands for a value in italics.
        shown = re.sub(
            r"(?<![\w-])(-{1,2}[a-z][\w-]*)", lambda found: rf"\fB{plain(found[1])}\fR", record[0], flags=re.I
        )
        lines += [".TP", shown.replace("[", r"[\fI").replace("]", r"\fR]"), text(record[1])]
    return lines


def tail(program: str, title: str) -> Iterator[str]:
    yield ".SH FILES"
    yield from terms(prose.FILES[program])
    yield ".SH ENVIRONMENT"
    yield from terms({program.upper() + name: said for name, said in prose.ENVIRONMENT.items()})
    yield ".SH EXIT STATUS"
    yield from terms({str(status): said for status, said in prose.STATUSES.items()})
    yield ".SH EXAMPLES"
    shown = [(f"{said}:", typed) for said, typed in guide.examples(*title.split())] if " " in title else []
    for said, typed in shown or prose.EXAMPLES[title]:
        yield from (".PP", text(said), ".PP", ".in +4n", ".nf", *map(plain_line, typed.split("\n")), ".fi", ".in")
    yield ".SH SEE ALSO"
    named = [f"{page}({SECTION})" for page in related(program, title)]
    pairs = [entry.partition("(") for entry in [*named, *prose.SEE_ALSO]]
    yield ",\n".join(rf"\fB{plain(name)}\fR({rest}" for name, _, rest in pairs)
    yield ".PP"
    yield text(f"The handbook lies in {prose.DOCUMENTS}: start with README.md there.")


def related(program: str, title: str) -> list[str]:
    """The programs, and the verbs beside a verb in its group."""
    groups = guide.GROUPS[program].values()
    beside = [
        verb for verbs in groups if title.partition(" ")[2] in verbs for verb in verbs if verb not in guide.ALIASES
    ]
    own = [*GROUPS, *(f"{program}-{verb}" for verb in beside)]
    return [page for page in own if page != title.replace(" ", "-")]


def terms(said: dict[str, str]) -> Iterator[str]:
    for term, meaning in said.items():
        yield from (".TP", rf"\fB{plain(term)}\fR", text(meaning))


# -- roff -------------------------------------------------------------------------------------------------------------


def plain(raw: str) -> str:
    """Text that roff shows as it is: dashes that can be searched for and copied."""
    return raw.replace("\\", r"\e").replace("-", r"\-").replace("…", "...")


def plain_line(raw: str) -> str:
    shown = plain(raw)
    return rf"\&{shown}" if shown[:1] in (".", "'") else shown


def text(raw: str) -> str:
    """A paragraph in short lines; what stands between backquotes in bold."""
    lines = textwrap.wrap(" ".join(raw.split()), 72, break_on_hyphens=False, break_long_words=False)
    return re.sub(r"`([^`]*)`", r"\\fB\1\\fR", "\n".join(map(plain_line, lines)))


def paragraphs(raw: str) -> list[str]:
    lines: list[str] = []
    for part in re.split(r"\n\s*\n", raw.strip()):
        lines += [".PP", text(part)]
    return lines[1:]


def finished(lines: list[str]) -> str:
    """The page; right after a heading no paragraph begins anew."""
    page = "\n".join(line for line in lines if line) + "\n"
    return re.sub(r"^(\.S[HS] .*)\n\.PP$", r"\1", page, flags=re.M)


if __name__ == "__main__":
    main()

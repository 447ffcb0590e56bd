"""Writes the two pages of the reference that come from the code: `python deploy/site/generate.py [FOLDER]`.

docs/cli.md has every verb of both commands with all that it takes, as `--help` says it; docs/openapi.json is what the
coordinator answers at `/openapi.json`. A test compares what is committed with what this writes.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import innclient.cli
import innerd.cli
from innerd.api.app import description
from innerd.command import guide
from innerd.command.options import global_flags

ROOT = Path(__file__).parents[2]
GROUPS: dict[str, click.Group] = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}
HEAD = """# Command line

Every verb with its arguments, flags and two examples, in the words of `--help`. This page is made from the code; what
the verbs mean, and who may use them, is in [commands](commands.md).

The global flags stand before the verb or after it, in every verb but `completions`. A letter that a verb uses itself is
that verb's.
"""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


def files() -> dict[str, str]:
    """What is written, by file name."""
    return {"cli.md": command_line(), "openapi.json": openapi()}


def openapi() -> str:
    document: dict[str, Any] = json.loads(description())
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def command_line() -> str:
    lines = [HEAD, "## Global flags\n", *table(global_flags(), click.Context(GROUPS["inn"]))]
    for program, group in GROUPS.items():
        lines += [f"\n## {program}\n", one_paragraph(group.help)]
        for name in sorted(group.commands):
            lines += section(program, name, group.commands[name])
    return "\n".join(lines).rstrip() + "\n"


def section(program: str, name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    arguments = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    yield f"\n### {program} {name}\n"
    yield one_paragraph(command.help)
    yield "\n```text\n" + " ".join([program, name, *arguments, "[FLAGS]"]) + "\n```\n"
    known = {flag for option in global_flags() for flag in option.opts if flag.startswith("--")}
    yield from table((p for p in command.params if isinstance(p, click.Option) and not known & set(p.opts)), context)
    if name not in guide.ALIASES:
        yield "\n```text"
        for said, typed in guide.examples(program, name):
            yield from (f"# {said}", typed)
        yield "```"


def table(options: Any, context: click.Context) -> Iterator[str]:
    rows = [record for option in options if (record := option.get_help_record(context)) is not None]
    if rows:
        yield "| flag | meaning |"
        yield "|---|---|"
    for flags, meaning in rows:
        yield f"| `{cell(flags)}` | {cell(meaning)} |"


def cell(text: str) -> str:
    """Text within a table: a bar would end its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def one_paragraph(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    main()

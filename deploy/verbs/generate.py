"""Writes what both programs know of their verbs before they load one: `python deploy/verbs/generate.py [FILE]`.

In which module a verb is, what is said of it in lists, and what it takes, for shells: from the verbs themselves, so
that help and completions need not load them all. A test compares what is committed with what this writes.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from innerd.command.completions import completions
from innerd.command.kinds import Offered, Truth
from innerd.command.options import global_flags
from innerd.command.program import Program, help_verb, said_of
from innerd.command.suggestions import Known

ROOT = Path(__file__).parents[2]
TABLE = "innerd/command/table.py"
_SHARED = [f"innerd.admin.{name}" for name in ("peers", "invites", "lists", "cidrs", "records", "inspect", "plain")]
_OWN = ("look", "interface", "endpoints", "events", "verify")
MODULES = {
    "inn": ["innclient.join.verb", "innclient.join.from_innernet", *(f"innclient.verbs.{name}" for name in _OWN)],
    "innerd": ["innerd.manage.host", "innerd.manage.verbs", "innerd.admin.network"],
}
KIND = "str | tuple[str, ...] | None"
HEAD = '''"""Where the verbs are, what is said of them in lists, and what they take.

Made by deploy/verbs/generate.py from the verbs themselves; `verbs` and `completing` read it.
"""

# fmt: off
'''


def main() -> None:
    Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / TABLE).write_text(made(), encoding="utf-8")


def made() -> str:
    """The whole file."""
    where: dict[str, dict[str, str]] = {}
    said: dict[str, dict[str, tuple[str, str]]] = {}
    flags: list[tuple[Any, ...]] = []
    takes: dict[str, dict[str, tuple[Any, ...]]] = {}
    for program, modules in MODULES.items():
        places = [(name, command) for name in [*modules, *_SHARED] for command in importlib.import_module(name).VERBS]
        where[program] = {str(command.name): name for name, command in places}
        group = whole(program, [command for _, command in places])
        said[program] = {name: (said_of(one), one.get_short_help_str()) for name, one in group.commands.items()}
        takes[program] = {name: taken(one, flags) for name, one in [("", group), *group.commands.items()]}
    lines = [HEAD.rstrip("\n")]
    lines += table("VERBS: dict[str, dict[str, str]]", where)
    lines += ["# In help; from a shell.", *table("SAID: dict[str, dict[str, tuple[str, str]]]", said)]
    lines += [
        "# Names, whether a value follows, whether it may be given again, what it is for, what its value is.",
        f"FLAGS: list[tuple[tuple[str, ...], bool, bool, str, {KIND}]] = [",
        *(f"    {flag!r}," for flag in flags),
        "]",
        "# Flags, by number; arguments: whether there may be many, what they are.",
        *table(
            f"TAKES: dict[str, dict[str, tuple[tuple[int, ...], tuple[tuple[bool, {KIND}], ...]]]]",
            takes,
        ),
    ]
    return "\n".join(lines) + "\n"


def whole(program: str, commands: list[click.Command]) -> click.Group:
    """A program with its verbs, as it is made by its `cli`."""
    settings = {"help_option_names": ["-h", "--help"]}
    group = Program(program, params=global_flags(), context_settings=settings)
    group = click.version_option("", "-V", "--version")(group)
    for command in [*commands, completions(program, group), help_verb(group)]:
        group.add_command(command)
    return group


def table(name: str, content: dict[str, dict[str, Any]]) -> list[str]:
    lines = [f"{name} = {{"]
    for program, rows in content.items():
        lines += [f"    {program!r}: {{", *(f"        {key!r}: {row!r}," for key, row in rows.items()), "    },"]
    return [*lines, "}"]


def taken(command: click.Command, flags: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """A command's flags, put to those that are known, and its arguments."""
    context = click.Context(command, info_name=command.name, help_option_names=["-h", "--help"])
    numbers, arguments = [], []
    for one in command.get_params(context):
        if isinstance(one, click.Option):
            row = (tuple(one.opts), not (one.is_flag or one.count), one.multiple, one.help or "", kind_of(one.type))
            if row not in flags:
                flags.append(row)
            numbers.append(flags.index(row))
        else:
            arguments.append((one.nargs != 1, kind_of(one.type)))
    return tuple(numbers), tuple(arguments)


def kind_of(kind: click.ParamType) -> str | tuple[str, ...] | None:
    """What a shell is offered: fixed words, names of a kind, files; nothing; "?" where only the type itself knows."""
    match kind:
        case Known():
            return "+".join((kind.what, *kind.more))
        case click.Choice() if kind.case_sensitive:
            return tuple(str(choice) for choice in kind.choices)
        case Truth() | Offered():
            found: list[CompletionItem[str]] = kind.shell_complete(None, None, "")  # type: ignore[arg-type]
            return tuple(item.value for item in found)
        case click.Path():
            return "dir" if kind.dir_okay and not kind.file_okay else "file"
        case click.types.StringParamType() | click.IntRange() | click.types.BoolParamType():
            return None
    return "?"


if __name__ == "__main__":
    main()

"""Help: every verb in one group, whole at 80 columns, with two examples that are commands; and nothing of it is loaded
where nobody asks."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import innclient.cli
import innerd.cli
from innerd.command import guide
from tests.client.commands import run

PROGRAMS: dict[str, click.Group] = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}
VERBS = [(program, verb) for program, group in PROGRAMS.items() for verb in group.commands]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_verb_stands_in_one_group(program: str) -> None:
    listed = [verb for verbs in guide.GROUPS[program].values() for verb in verbs]
    assert sorted(listed) == sorted(PROGRAMS[program].commands)


def commands_in(typed: str) -> list[list[str]]:
    """The commands of ours in a line of a shell, from the first that it runs to the last."""
    words = shlex.split(typed.replace("\\\n", " "))
    found = [at for at, word in enumerate(words) if word in PROGRAMS]
    stops = {">", "|"}
    taken = [words[at : next((i for i in range(at, len(words)) if words[i] in stops), len(words))] for at in found]
    return [words for words in taken if len(words) > 1]


@pytest.mark.parametrize(("program", "verb"), VERBS)
def test_every_verb_has_two_examples_that_it_takes(program: str, verb: str) -> None:
    shown = guide.examples(program, verb)
    assert len(shown) == 2
    for _, typed in shown:
        assert all(len(line) <= 76 for line in typed.split("\n")), typed
        if typed.startswith("systemctl"):
            continue
        assert commands_in(typed), typed
        for name, *words in commands_in(typed):
            assert taken_by(name, words) == guide.ALIASES.get(verb, verb)


def taken_by(program: str, words: list[str]) -> str | None:
    """The verb that a program calls with these words: all of it but to run it. Raises what click says of bad ones."""
    group, settings = PROGRAMS[program], innclient.cli.Settings(program, "/etc", "/lib", "/run")
    with group.make_context(program, list(words), obj=settings) as context:
        called, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        with command.make_context(called, rest, parent=context):
            return called


PARITY = re.findall(
    r"^\| `innernet(?:-server)? ([^`]+)` \| `(innerd?|inn) ([^`]+)`",
    (Path(__file__).parents[2] / "docs/from-innernet.md").read_text(encoding="utf-8"),
    re.M,
)


@pytest.mark.parametrize(("theirs", "program", "ours"), PARITY, ids=[f"{row[1]} {row[2]}" for row in PARITY])
def test_what_was_typed_for_innernet_is_taken(theirs: str, program: str, ours: str) -> None:
    assert theirs == ours
    assert taken_by(program, shlex.split(ours)) in ours.split()


@pytest.mark.parametrize(("program", "verb"), [*VERBS, ("inn", ""), ("innerd", "")])
def test_help_is_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch, program: str, verb: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = run(program, *([verb] if verb else []), "--help")
    assert done.status == 0
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert "…" not in done.out
    group = PROGRAMS[program]
    command = group.commands[verb] if verb else group
    for flag in (flag for option in command.params if isinstance(option, click.Option) for flag in option.opts):
        assert f" {flag} " in done.out, flag
    for name in () if verb else group.commands:
        assert f"│ {name} " in done.out, name


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_a_verb_too(program: str) -> None:
    assert run(program, "help").out == run(program, "--help").out
    assert run(program, "help", "why").out == run(program, "why", "--help").out
    assert (run(program, "help", "nosuch").status, run(program, "help", "nosuch").code) == (2, "usage")


@pytest.mark.parametrize("module", ["innerd.command.guide", "innerd.command.shells"])
def test_nothing_of_it_is_loaded_before_somebody_asks(module: str) -> None:
    check = f"import innclient.cli, innerd.cli, sys; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0

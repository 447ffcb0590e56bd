"""The man pages say all that the commands take, and read well by both formatters."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

import innclient.cli
import innerd.cli
from innerd import failure
from innerd.command import guide
from innerd.command.options import global_flags

MAN = Path(__file__).parents[2] / "deploy/man"
GROUPS = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"man_{name}", MAN / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE, PROSE = loaded("generate"), loaded("prose")
PAGES = GENERATE.pages("0.1.0", "2026-11-25")


def words(page: str) -> str:
    """A page without its fonts and escapes."""
    return re.sub(r"\\f[BIR]|\\&", "", PAGES[page]).replace(r"\-", "-").replace(r"\e", "\\")


def part(page: str, heading: str) -> str:
    """What stands below a heading, up to the next of its kind."""
    found = re.search(rf"^\.S[HS] {re.escape(heading)}$(.*?)(?=^\.S[HS] |\Z)", words(page), re.M | re.S)
    assert found, heading
    return found[1]


@pytest.mark.parametrize(("program", "verb"), [(p, verb) for p, group in GROUPS.items() for verb in group.commands])
def test_every_verb_stands_in_its_page_with_its_arguments_and_all_its_options(program: str, verb: str) -> None:
    parameters = GROUPS[program].commands[verb].params
    context = click.Context(GROUPS[program].commands[verb])
    arguments = [p.make_metavar(context) for p in parameters if isinstance(p, click.Argument)]
    said = part(f"{program}.8", " ".join([verb, *arguments]))
    known = {name for option in global_flags() for name in option.opts if name.startswith("--")}
    for option in parameters:
        if isinstance(option, click.Option) and not known & set(option.opts):
            for name in option.opts:
                assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said), name
            assert " ".join((option.help or "").split()) in " ".join(said.split()), option.opts


@pytest.mark.parametrize("program", GROUPS)
def test_every_global_option_and_exit_status_stands_in_both_pages(program: str) -> None:
    said = part(f"{program}.8", "GLOBAL OPTIONS")
    for name in ["-V", "--version", *(name for option in global_flags() for name in option.opts)]:
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said), name
    numbers = {value for name, value in vars(failure).items() if name.isupper() and isinstance(value, int)}
    assert set(PROSE.STATUSES) == {0, *numbers}


@pytest.mark.parametrize(("program", "verb"), [(p, verb) for p, group in GROUPS.items() for verb in group.commands])
def test_every_verb_has_a_page_of_its_own_with_two_examples(program: str, verb: str) -> None:
    if verb in guide.ALIASES:
        assert PAGES[f"{program}-{verb}.8"] == f".so man8/{program}-{guide.ALIASES[verb]}.8\n"
        return
    said = part(f"{program}-{verb}.8", "EXAMPLES")
    for _, typed in guide.examples(program, verb):
        assert typed in said


OWN = [page for page in PAGES if not PAGES[page].startswith(".so ")]


@pytest.mark.parametrize("page", OWN)
def test_a_page_has_all_the_sections_that_people_look_for(page: str) -> None:
    heads = re.findall(r"^\.SH (.*)$", PAGES[page], re.M)
    assert heads[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert heads[-5:] == ["FILES", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]


def test_the_examples_are_commands_that_there_are() -> None:
    for typed in (line for group in PROSE.EXAMPLES.values() for _, line in group):
        for command in typed.replace("\\\n", " ").splitlines():
            program, *rest = command.split()
            if program in GROUPS:
                verb = GROUPS[program].commands[rest[0]]
                flags = {word for word in rest if word.startswith("--")}
                assert flags <= {name for option in verb.params for name in option.opts}, command


@pytest.mark.parametrize("page", OWN)
@pytest.mark.parametrize("tool", ["mandoc", "groff"])
def test_a_page_is_free_of_what_formatters_warn_of(tmp_path: Path, page: str, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    (tmp_path / page).write_text(PAGES[page], encoding="utf-8")
    command = {"mandoc": ["mandoc", "-Tlint", "-Wstyle"], "groff": ["groff", "-man", "-Tutf8", "-ww", "-z"]}[tool]
    done = subprocess.run([*command, tmp_path / page], capture_output=True, text=True, check=False)
    lines = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if "lower case character in document title" not in line
    ]
    assert not lines


def test_the_generator_writes_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, MAN / "generate.py", tmp_path], check=True)
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)

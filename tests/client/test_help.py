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
from innerd.command import guide, page
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


PAGE = """\

 Usage: inn show [OPTIONS] [INTERFACE]

 Who is in the network, and how each is reached.

╭─ Flags ──────────────────────────────────────────────────╮
│ -s  --short             One line a peer.                 │
│ -t  --tree              Peers below their CIDRs.         │
│     --json              One JSON document on stdout.     │
│     --columns (A,B)     Only these, in this order: name, │
│                         ip, cidr, path, endpoint,        │
│                         handshake, since, received,      │
│                         sent, rights, id, key.           │
│     --watch (=SECONDS)  Show it again and again, every 2 │
│                         (or so many) seconds.            │
│     --no-pager          Never through a pager.           │
│ -h  --help              Show this message and exit.      │
╰──────────────────────────────────────────────────────────╯
╭─ Global flags ───────────────────────────────────────────╮
│ -c  --config-dir (DIRECTORY)   Folder of config files.   │
│ -d  --data-dir (DIRECTORY)     Folder of data.           │
│     --runtime-dir (DIRECTORY)  Folder of sockets.        │
│     --backend                  WireGuard of the kernel   │
│     (auto|kernel|userspace)    or wireguard-go (auto:    │
│                                the kernel's if it has    │
│                                it).                      │
│     --mtu (N)                  MTU (default: what routes │
│                                carry).                   │
│     --no-routing               Add no route to the       │
│                                network.                  │
"""


def test_a_page_looks_like_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = run("inn", "show", "--help").out.splitlines()
    assert max(map(len, lines)) == 60
    assert "\n".join(line.rstrip() for line in lines).startswith(PAGE)


def test_a_page_has_colours_where_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "is_styled", lambda: True)
    drawn = page.Page(60)
    drawn.usage("inn show", ["[NAME]"])
    drawn.paragraphs("Say it with -x.\n\nAnd <so>.")
    drawn.flags("Flags", [("-x", "--xy (N)", "By --xy. [required]")])
    lines = [line.strip() for line in drawn.text().split("\n")]
    assert lines[1] == "\x1b[33mUsage:\x1b[0m \x1b[1minn show\x1b[0m [\x1b[1;36mNAME\x1b[0m]"
    assert lines[3] == "Say it with \x1b[1;32m-x\x1b[0m."
    assert lines[4] == "\x1b[2mAnd \x1b[0m\x1b[1;33;2m<so>\x1b[0m\x1b[2m.\x1b[0m"
    said = "By \x1b[1;36m--xy\x1b[0m. \x1b[2;31m[required]\x1b[0m"
    assert f"\x1b[1;32m-x\x1b[0m  \x1b[1;36m--xy\x1b[0m\x1b[1;33m (N)\x1b[0m  {said}" in lines[7]


def test_an_example_may_name_a_unit() -> None:
    assert "systemctl enable --now inn@kermpany" in run("inn", "up", "--help").out


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_a_verb_too(program: str) -> None:
    assert run(program, "help").out == run(program, "--help").out
    assert run(program, "help", "why").out == run(program, "why", "--help").out
    assert (run(program, "help", "nosuch").status, run(program, "help", "nosuch").code) == (2, "usage")


@pytest.mark.parametrize("module", ["innerd.command.guide", "innerd.command.shells"])
def test_nothing_of_it_is_loaded_before_somebody_asks(module: str) -> None:
    check = f"import innclient.cli, innerd.cli, sys; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0

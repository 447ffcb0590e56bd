"""What a shell is answered without click is what click would say, line by line; and what is said of verbs before they
are loaded is what they say."""

import asyncio
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import get_completion_class

import innclient.cli
import innerd.cli
from innclient.agent import asking, control, views
from innerd.command import completing, table
from innerd.command.settings import Settings
from tests.client.support import session_at

ROOT = Path(__file__).parents[2]
PROGRAMS: dict[str, click.Group] = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}


def test_what_is_known_of_the_verbs_is_what_they_say() -> None:
    spec = importlib.util.spec_from_file_location("verbs_table", ROOT / "deploy/verbs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert Path(table.__file__).read_text(encoding="utf-8") == generate.made(), "run deploy/verbs/generate.py"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with two networks, in one of which this machine was told of some names."""
    for program in PROGRAMS:
        for kind in ("CONFIG", "DATA", "RUNTIME"):
            monkeypatch.setenv(f"{program.upper()}_{kind}_DIR", str(tmp_path))
    for name in ("kermpany", "kiosk"):
        (tmp_path / f"{name}.toml").touch()
    (tmp_path / "kermpany").mkdir()
    (tmp_path / "kermpany/netmap.json").write_text(
        '{"peers": [{"name": "ryo", "records": [{"owner": "app.@"}]}, {"name": "mari"}], "cidrs": [{"name": "humans"}]}'
    )


def by_click(program: str, shell: str, words: list[str], typed: str, monkeypatch: pytest.MonkeyPatch) -> str:
    asked(monkeypatch, shell, [program, *words], typed)
    kind = get_completion_class(shell)
    assert kind is not None
    own: dict[str, Any] = {"obj": Settings(program)}
    return kind(PROGRAMS[program], own, program, f"_{program.upper()}_COMPLETE").complete() + "\n"


def asked(monkeypatch: pytest.MonkeyPatch, shell: str, words: list[str], typed: str) -> None:
    monkeypatch.setenv("COMP_WORDS", " ".join([*words, typed]))
    monkeypatch.setenv("COMP_CWORD", typed if shell == "fish" else str(len(words)))


def lines(program: str) -> list[tuple[list[str], str]]:
    """Words before the cursor, and what there is of the one at it: each verb with each of its flags and arguments."""
    found = [([], typed) for typed in ("", "a", "add-", "-", "--c", "nosuch", "s")]
    found += [(["-v"], "sho"), (["--mtu"], "1"), (["--backend"], ""), (["--backend", "kernel"], "-")]
    for verb, command in PROGRAMS[program].commands.items():
        found += [([verb], typed) for typed in ("", "-", "--", "--n", "k", "nosuch")]
        found += [([verb, *["kermpany"] * number], typed) for number in (1, 2, 3) for typed in ("", "r", "-")]
        found += [([verb, "kermpany", "--json"], "-"), ([verb, "--json"], ""), ([verb, "--nosuch"], "")]
        for option in (one for one in command.params if isinstance(one, click.Option)):
            found += [([verb, "kermpany", option.opts[-1]], typed) for typed in ("", "-", "m", "k")]
            found += [([verb, option.opts[-1], "1"], typed) for typed in ("", "-")]
            found += [([verb, option.opts[0]], ""), ([verb, f"{option.opts[-1]}=1"], "-")]
    return found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.usefixtures("here")
def test_both_say_the_same(
    program: str, shell: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    simple, asked_for = 0, lines(program)[:: 5 if shell == "zsh" else 23]
    for words, typed in asked_for:
        wanted = by_click(program, shell, words, typed, monkeypatch)
        if completing.answered(program, f"{shell}_complete"):
            simple += 1
            assert capfdbinary.readouterr().out.decode() == wanted, (words, typed)
    assert simple > 0.5 * len(asked_for)  # else it would be of little use


@pytest.mark.parametrize("line", ["inn show 'k", 'inn "sh', "inn a\\ b", "inn -- sh", "inn -vv sh", "inn -c /x show k"])
def test_what_is_not_simple_is_left_to_click(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    assert not completing.answered("inn", "bash_complete")
    assert not completing.answered("inn", "bash_source")


# -- what is loaded --------------------------------------------------------------------------------------------------

BIN = Path(sys.executable).parent
HEAVY = {
    "rich",
    "rich_click",
    "asyncio",
    "ssl",
    "httpx2",
    "structlog",
    "uvloop",
    "litestar",
    "nacl",
    "sqlite3",
}


LISTS = """
import atexit, sys
atexit.register(lambda: sys.stderr.write("\\n" + "\\n".join(sys.modules)))
from {}.start import main
main()
"""


def loaded(program: str, *words: str, **env: str) -> set[str]:
    """The modules that a command loads."""
    code = LISTS.format({"inn": "innclient"}.get(program, program))
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False)
    return set(done.stderr.split())


def completion(*words: str) -> dict[str, str]:
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return {f"_{words[0].upper()}_COMPLETE": "bash_complete", **asked}


@pytest.mark.parametrize(
    ("words", "most", "never"),
    [
        (("inn", "--help"), 150, {"msgspec", "shutil", "innerd.admin.verb"}),
        (("innerd", "--help"), 150, {"msgspec", "shutil", "innerd.admin.verb"}),
        (("inn", "show", "--help"), 200, {"innerd.admin.verb", "innclient.config"}),
        (("inn", "show"), 200, {"innerd.admin.verb"}),
    ],
)
def test_a_command_loads_no_more_than_it_needs(
    words: tuple[str, ...], most: int, never: set[str], tmp_path: Path
) -> None:
    found = loaded(*words, INN_CONFIG_DIR=str(tmp_path), INNERD_CONFIG_DIR=str(tmp_path))
    assert not found & (HEAVY | never)
    assert len(found) <= most


@pytest.mark.parametrize("words", [("inn", "add-"), ("inn", "show", "--"), ("innerd", ""), ("inn", "show", "k")])
def test_a_completion_loads_next_to_nothing(words: tuple[str, ...], tmp_path: Path) -> None:
    found = loaded(words[0], **completion(*words), INN_CONFIG_DIR=str(tmp_path))
    assert "innerd.command.completing" in found
    assert not found & (HEAVY | {"click", "msgspec"})
    assert len(found) <= 90


async def test_show_without_click_and_as_click_would_have_it(tmp_path: Path) -> None:
    session = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    shown = await views.show(session)

    async def answer(request: asking.Request) -> object:
        return shown

    door = control.ControlSocket(session.paths.socket, answer, session.paths.data)
    await door.open()
    place = {
        f"INN_{kind}_DIR": str(tmp_path / name)
        for kind, name in (("CONFIG", "etc"), ("DATA", "lib"), ("RUNTIME", "run"))
    }
    simple: list[list[str]] = [[], ["show"], ["show", "kermpany", "-s"], ["list", "--tree"], ["show", "--json"]]
    try:
        for words in [*simple, ["show", "KERM"]]:
            long = await asyncio.to_thread(printed, ["--no-routing", *words], place)
            quick = await asyncio.to_thread(printed, words, place)
            assert quick == long
            found = await asyncio.to_thread(loaded, "inn", *words, **place)
            assert ("click" in found) is (words not in simple)
            assert not found & HEAVY
    finally:
        await door.close()


def printed(words: list[str], env: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run([BIN / "inn", *words], env=os.environ | env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr

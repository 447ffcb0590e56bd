"""What shells offer: verbs, flags, and the names that are known on this host; each shell that is here is asked too."""

import contextlib
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def folders(host: Path) -> dict[str, str]:
    made = {name: host / name for name in ("etc", "lib", "run")}
    for folder in made.values():
        folder.mkdir(exist_ok=True)
    kinds = {"CONFIG": made["etc"], "DATA": made["lib"], "RUNTIME": made["run"]}
    return {f"{program}_{kind}_DIR": str(path) for program in ("INN", "INNERD") for kind, path in kinds.items()}


def offered(host: Path, *words: str) -> list[str]:
    """What bash is offered in place of the last word."""
    env = os.environ | folders(host) | {f"_{words[0].upper()}_COMPLETE": "bash_complete"}
    env |= {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([BIN / words[0]], env=env, capture_output=True, text=True, check=True)
    assert not done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """With a network of the coordinator's, and a membership that was told of some peers."""
    env = os.environ | folders(tmp_path)
    new = ("--network-name", "kermpany", "--network-cidr", "10.42.0.0/16", "--external-endpoint", "192.0.2.1:51820")
    subprocess.run([BIN / "innerd", "new", *new, "--listen-port", "51820"], env=env, check=True, capture_output=True)
    (tmp_path / "run/door.sock").touch()
    (tmp_path / "lib/kermpany").mkdir()
    (tmp_path / "lib/kermpany/netmap.json").write_text(
        '{"peers": [{"name": "ryo", "records": [{"owner": "app.@"}]}, {"name": "mari"}], "cidrs": [{"name": "humans"}]}'
    )
    return tmp_path


def test_verbs_and_flags_are_offered(tmp_path: Path) -> None:
    assert offered(tmp_path, "inn", "sho") == ["show"]
    assert {"add-peer", "add-cidr", "add-association", "add-record"} == set(offered(tmp_path, "innerd", "add"))
    assert offered(tmp_path, "inn", "show", "--sh") == ["--short"]


@pytest.mark.parametrize("words", [("inn", "up"), ("inn", "show"), ("innerd", "serve"), ("inn", "list-peers")])
def test_a_network_is_offered_where_one_is_meant(host: Path, words: tuple[str, ...]) -> None:
    assert offered(host, *words, "k") == ["kermpany"]
    assert offered(host, *words, "") == ["door", "kermpany"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("inn", "disable-peer", "kermpany", "--name", "r"), ["ryo"]),
        (("inn", "why", "kermpany", "ryo", ""), ["mari", "ryo"]),
        (("inn", "trust", "kermpany", "m"), ["mari"]),
        (("inn", "add-association", "kermpany", ""), ["humans"]),
        (("inn", "add-peer", "kermpany", "--name", ""), []),
        (("innerd", "rename-peer", "kermpany", "--name", ""), ["innernet-server"]),
        (("innerd", "add-peer", "kermpany", "--cidr", "i"), ["innernet-server"]),
        (("inn", "delete-cidr", "kermpany", "h"), ["humans"]),
        (("inn", "rename-cidr", "kermpany", ""), ["humans"]),
        (("inn", "override-peer-endpoint", "kermpany", "r"), ["ryo"]),
        (("inn", "audit", "kermpany", "--actor", "m"), ["mari"]),
        (("inn", "audit", "kermpany", "--subject", ""), ["humans", "mari", "ryo"]),
        (("innerd", "audit", "kermpany", "--type", "key."), ["key.pinned"]),
        (("inn", "add-peer", "kermpany", "--admin", ""), ["false", "true"]),
        (("inn", "add-record", "kermpany", "app.ryo", "S"), ["srv"]),
        (("inn", "help", "add-c"), ["add-cidr"]),
        (("inn", "delete-record", "kermpany", "a"), ["app.ryo"]),
    ],
)
def test_peers_and_cidrs_are_offered_where_they_are_meant(host: Path, words: tuple[str, ...], names: list[str]) -> None:
    assert offered(host, *words) == names


@pytest.mark.parametrize(
    "words",
    [("inn", "why", "nosuch", ""), ("innerd", "rename-peer", "nosuch", "--name", ""), ("inn", "why", "../x", "")],
)
def test_where_nothing_is_known_nothing_is_offered_and_nothing_said(host: Path, words: tuple[str, ...]) -> None:
    assert offered(host, *words) == []


_ASK = {
    "bash": """
source <(inn completions bash)
COMP_WORDS=(inn show k) COMP_CWORD=2; _inn_completion inn; echo "${COMPREPLY[@]}"
""",
    "zsh": """
autoload -U compinit; compinit -u -d $PWD/dump; eval "$(inn completions zsh)"
compadd() { print -r -- ${completions[@]}; }
words=(inn show k) CURRENT=3; _inn_completion
""",
    "fish": "inn completions fish | source; complete --do-complete 'inn show k'",
}


@pytest.mark.parametrize("shell", _ASK)
def test_each_shell_takes_its_script_and_completes_by_it(host: Path, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    env = os.environ | folders(host) | {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(host)}
    done = subprocess.run([program, "-c", _ASK[shell]], env=env, capture_output=True, text=True, check=False, cwd=host)
    assert done.stdout.split() == ["kermpany"], done.stderr


def test_elvish_takes_its_script_and_completes_by_it(host: Path) -> None:
    """It has completions at a terminal alone."""
    if shutil.which("elvish") is None:
        pytest.skip("elvish is not installed")
    asked = "each {|c| print $c[stem] > out } [($edit:completion:arg-completer[inn] inn show k)]"
    env = os.environ | folders(host) | {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(host), "TERM": "xterm"}
    typed = f"eval (inn completions elvish | slurp); {asked}; exit\r".encode()
    master, slave = pty.openpty()
    with subprocess.Popen(
        ["elvish", "-norc"], stdin=slave, stdout=slave, stderr=slave, env=env, cwd=host, start_new_session=True
    ) as elvish:
        os.close(slave)
        os.write(master, typed)
        with contextlib.suppress(OSError):  # it ended
            while os.read(master, 65536):
                pass
        os.close(master)
        assert elvish.wait(timeout=30) == 0
    assert (host / "out").read_text() == "kermpany"

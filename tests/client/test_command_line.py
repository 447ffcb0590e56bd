"""The command line itself: the verbs of the contract, help for each, global flags in both places, usage errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import innclient.cli
import innerd.cli
from tests.client.commands import Host, run
from tests.client.conftest import NETWORK

ADMIN = [
    "add-cidr",
    "rename-cidr",
    "delete-cidr",
    "list-cidrs",
    "add-peer",
    "rename-peer",
    "enable-peer",
    "disable-peer",
    "delete-peer",
    "retire-peer",
    "grant-admin",
    "revoke-admin",
    "list-peers",
    "reissue-invite",
    "export",
    "add-association",
    "delete-association",
    "list-associations",
    "audit",
    "completions",
]
INNERD = [*ADMIN, *["new", "serve", "list-invites", "show", "status", "convergence", "set-endpoint", "uninstall"]]
INNERD += ["allow-relay", "disallow-relay"]
INN = [*ADMIN, *["install", "redeem", "up", "fetch", "down", "uninstall", "show", "list", "status"]]
VERBS = [*(("innerd", verb) for verb in INNERD), *(("inn", verb) for verb in INN)]
GROUPS = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}
GLOBAL = ["--config-dir", "--data-dir", "--runtime-dir", "--backend", "--mtu", "--no-routing", "--verbose"]
GLOBAL += ["--log-format"]
CHANGING = [verb for verb in ADMIN if not verb.startswith(("list-", "audit", "completions"))]


@pytest.mark.parametrize(("program", "verb"), VERBS, ids=[" ".join(pair) for pair in VERBS])
def test_every_verb_of_the_contract_exists_and_has_help(program: str, verb: str) -> None:
    assert verb in GROUPS[program].commands
    assert (GROUPS[program].commands[verb].help or "").strip()
    done = run(program, verb, "--help")
    assert (done.status, done.err) == (0, "")
    assert "Usage" in done.out


def test_every_verb_there_is_has_help_whoever_added_it() -> None:
    for program, group in GROUPS.items():
        assert [name for name, command in group.commands.items() if not (command.help or "").strip()] == [], program


@pytest.mark.parametrize("program", GROUPS)
def test_the_program_itself_has_help_and_a_version(program: str) -> None:
    assert run(program, "--help").status == 0
    version = run(program, "--version")
    assert version.status == 0
    assert version.out.startswith(f"{program} ")


@pytest.mark.parametrize(("program", "verb"), VERBS, ids=[" ".join(pair) for pair in VERBS])
def test_global_flags_are_taken_after_every_verb(program: str, verb: str) -> None:
    taken = {name for parameter in GROUPS[program].commands[verb].params for name in parameter.opts}
    assert set(GLOBAL) <= taken
    assert set(GLOBAL) <= {name for parameter in GROUPS[program].params for name in parameter.opts}


@pytest.mark.parametrize("program", GROUPS)
@pytest.mark.parametrize("verb", CHANGING)
def test_every_changing_verb_has_a_dry_run_json_and_yes(program: str, verb: str) -> None:
    taken = {name for parameter in GROUPS[program].commands[verb].params for name in parameter.opts}
    assert {"--dry-run", "--json", "--yes"} <= taken


LOOKING = [verb for verb in VERBS if verb[1].startswith(("list", "show", "status", "audit", "convergence"))]


@pytest.mark.parametrize(("program", "verb"), LOOKING)
def test_every_looking_verb_has_json(program: str, verb: str) -> None:
    assert "--json" in {name for parameter in GROUPS[program].commands[verb].params for name in parameter.opts}


def test_global_flags_count_before_and_after_the_verb(host: Host, tmp_path: Path) -> None:
    before = run("innerd", *host.flags, "list-peers", NETWORK, "--json")
    after = run("innerd", "list-peers", NETWORK, "--json", *host.flags)
    mixed = run("innerd", "-c", str(host.etc), "list-peers", "--data-dir", str(host.lib), NETWORK, "--json")
    assert before.out == after.out == mixed.out
    assert before.status == after.status == mixed.status == 0
    elsewhere = run("innerd", *host.flags, "list-peers", NETWORK, "-c", str(tmp_path / "elsewhere"))
    assert elsewhere.status == 4


USAGE = [
    pytest.param(["frobnicate"], id="an unknown verb"),
    pytest.param(["--frobnicate"], id="an unknown flag"),
    pytest.param(["list-peers"], id="no network"),
    pytest.param(["list-peers", NETWORK, "more"], id="one argument too many"),
    pytest.param(["list-peers", NETWORK, "--backend", "quantum"], id="an unknown backend"),
    pytest.param(["list-peers", NETWORK, "--mtu", "9"], id="an MTU that nothing fits in"),
    pytest.param(["completions", "tcsh"], id="a shell we don't know"),
]


@pytest.mark.parametrize("program", GROUPS)
@pytest.mark.parametrize("given", USAGE)
def test_a_usage_error_has_status_2_and_the_form_of_all_errors(tmp_path: Path, program: str, given: list[str]) -> None:
    host = Host(tmp_path, program)
    assert host.refused(*given) == (2, "usage")
    done = host(*given, "--json")
    assert (done.status, done.out) == (2, "")
    assert json.loads(done.err)["error"]["code"] == "usage"


def test_innerd_without_a_verb_shows_its_help_and_inn_shows_the_networks(tmp_path: Path) -> None:
    assert run("innerd").status == 2
    shown = Host(tmp_path, "inn")()
    assert (shown.status, shown.err) == (0, "")
    assert Host(tmp_path, "inn").json("show")["networks"] == []


INN_NOWHERE = [
    *(["show", "status", "up", "fetch", "down", "list-peers", "list-cidrs", "list-associations", "audit"]),
    *(["add-peer", "add-cidr", "disable-peer", "uninstall"]),
]


@pytest.mark.parametrize("verb", INN_NOWHERE)
def test_inn_says_that_there_is_no_such_network_here(tmp_path: Path, verb: str) -> None:
    assert Host(tmp_path, "inn").refused(verb, NETWORK) == (4, "network_not_found")


def test_inn_up_without_any_network_is_not_found(tmp_path: Path) -> None:
    assert Host(tmp_path, "inn").refused("up") == (4, "network_not_found")


@pytest.mark.parametrize("given", [["install"], ["redeem"]])
def test_inn_install_of_a_file_that_is_not_there_ends_with_8(tmp_path: Path, given: list[str]) -> None:
    inn = Host(tmp_path, "inn")
    assert inn.refused(*given, str(tmp_path / "none.toml"), "--default-name") == (8, "invitation_unreadable")
    assert inn.refused(*given, str(tmp_path / "none.toml"), "--default-name", "--name", "x") == (2, "usage")


@pytest.mark.parametrize("program", GROUPS)
def test_an_unknown_key_in_a_config_is_named(tmp_path: Path, program: str) -> None:
    host = Host(tmp_path, program)
    host.etc.mkdir()
    (host.etc / f"{NETWORK}.toml").write_text('colour = "red"\n')
    (host.etc / f"{NETWORK}.toml").chmod(0o600)
    done = host("list-peers", NETWORK)
    assert (done.status, done.code, done.out) == (2, "config_invalid", "")
    assert '"colour"' in done.err


def test_a_config_with_the_key_of_another_network_is_refused(host: Host) -> None:
    config = host.etc / f"{NETWORK}.toml"
    other = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
    lines = [f'private-key = "{other}"' if "private-key" in line else line for line in config.read_text().splitlines()]
    config.write_text("\n".join(lines))
    done = host("list-peers", NETWORK)
    assert (done.status, done.code) == (2, "config_invalid")
    assert other not in done.err


def test_a_log_that_was_tampered_with_ends_with_7(host: Host) -> None:
    database = host.lib / f"{NETWORK}.db"
    raw = database.read_bytes()
    assert raw.count(b'"mari"') > 0
    database.write_bytes(raw.replace(b'"name":"mari"', b'"name":"eve!"'))
    assert host.refused("list-peers", NETWORK) == (7, "log_corrupt")


@pytest.mark.parametrize("program", GROUPS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_print_a_script_for_the_shell(program: str, shell: str) -> None:
    done = run(program, "completions", shell)
    assert (done.status, done.err) == (0, "")
    assert f"_{program.upper()}_COMPLETE={shell}_complete" in done.out


# -- as real processes ------------------------------------------------------------------------------------------------

BIN = Path(sys.executable).parent


def start(program: str, *args: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"} | environment
    command = [str(BIN / program), *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False, input="")


def test_folders_come_from_the_environment_and_flags_win(host: Host, tmp_path: Path) -> None:
    folders = {
        "INNERD_CONFIG_DIR": str(host.etc),
        "INNERD_DATA_DIR": str(host.lib),
        "INNERD_RUNTIME_DIR": str(host.run_dir),
    }
    done = start("innerd", "list-peers", NETWORK, "--json", **folders)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["peers"]) == 5
    elsewhere = start("innerd", "list-peers", NETWORK, "-c", str(tmp_path / "none"), **folders)
    assert elsewhere.returncode == 4
    inn = start("inn", "list-peers", NETWORK, INN_CONFIG_DIR=str(host.etc))
    assert inn.returncode == 2  # found, and no config of a client
    assert str(host.etc) in inn.stderr


def test_the_shell_is_given_the_verbs_to_complete() -> None:
    done = start("inn", _INN_COMPLETE="bash_complete", COMP_WORDS="inn list-", COMP_CWORD="1")
    assert {"plain,list-peers", "plain,list-cidrs", "plain,list-associations"} <= set(done.stdout.split())


def test_who_stops_reading_is_no_error(host: Host) -> None:
    command = f"'{BIN / 'innerd'}' {' '.join(host.flags)} audit {NETWORK} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")

"""What people are told is in words: no numbers of errors, no names of classes, no escapes for what can be read; and a
hint is not refused itself."""

import re
from pathlib import Path

import click
import httpx2
import pytest

import innclient.cli
import innerd.cli
from innclient.core.views import NetworkView
from innclient.verbs import show
from innerd.admin.client import unheard
from innerd.admin.transport import over_socket
from innerd.domain.errors import plainly
from innerd.failure import Failure
from tests.client.commands import Host, run
from tests.client.conftest import NETWORK

GROUPS = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}
MACHINE = re.compile(r"\[Errno|\\n|\\t|\\x|\w(Error|Timeout|Exception)\b|: ,|integer range|attempts failed")


def flags() -> list[tuple[str, str, str]]:
    """Every flag of every verb (the global ones of one verb): with a value that it can't have."""
    return [
        (program, verb, max(option.opts, key=len))
        for program, group in GROUPS.items()
        for verb, command in group.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and option.opts and (option.expose_value or verb == "list-peers")
    ]


@pytest.mark.parametrize(("program", "verb", "flag"), flags(), ids=[" ".join(one) for one in flags()])
def test_a_value_that_no_flag_takes_is_refused_in_words(program: str, verb: str, flag: str) -> None:
    if flag == "--help":
        return
    done = run(program, verb, f"{flag}=Müller☃")
    assert not MACHINE.search(done.err), done.err
    assert done.err.count("\n") <= 2, done.err
    if "does not take a value" in done.err:
        assert f"hint: {program} {verb} --help" in done.err


@pytest.mark.parametrize("program", GROUPS)
def test_what_is_missing_is_called_so_once(program: str) -> None:
    said = run(program, "completions").err
    assert said.startswith("error: {bash|zsh|fish|elvish|powershell} is missing [usage]\n")


@pytest.mark.parametrize("text", ["", "maybe", "Müller"])
def test_what_is_neither_true_nor_false_is_said_to_be(text: str) -> None:
    done = run("inn", "add-peer", "nosuch", f"--admin={text}")
    assert f"'{text}' is neither true nor false" in done.err


def test_a_name_is_quoted_as_it_was_typed(host: Host) -> None:
    done = host("disable-peer", NETWORK, "müller", "--yes")
    assert 'there is no peer "müller"' in done.err


@pytest.mark.parametrize(
    "words",
    [["delete-peer"], ["reissue-invite", "--invite-expires", "1d", "--save-config", "-"]],
    ids=["delete", "reissue"],
)
def test_the_coordinators_machine_is_not_told_to_be_retired(host: Host, words: list[str]) -> None:
    done = host(*words, "--name", "innernet-server", "--yes")
    assert (done.status, done.code) in ((3, "coordinator_protected"), (3, "peer_redeemed"))
    assert "retire" not in done.err


def test_an_interface_that_is_down_has_no_port_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    down = NetworkView(
        interface="kermpany", network="kermpany", is_up=False, listen_port=0, revision=1, as_of=None, peers=[], cidrs=[]
    )
    for short in (True, False):
        show.as_text(down, short=short, tree=not short, whole_keys=False)
    assert capsys.readouterr().out == "kermpany (down)\n" * 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx2.ConnectTimeout("x"), "nobody answered the attempt to connect"),
        (httpx2.ReadTimeout("x"), "no answer came in time"),
        (httpx2.PoolTimeout("x"), "no answer came in time"),
        (TimeoutError(), "no answer came in time"),
        (httpx2.ReadError("Connection reset by peer"), "the connection broke off: Connection reset by peer"),
    ],
)
def test_why_nothing_was_heard_is_said_without_names_of_classes(error: Exception, said: str) -> None:
    assert unheard(error) == said


async def test_a_socket_at_which_nobody_listens_is_told_by_what_the_system_says(tmp_path: Path) -> None:
    api = over_socket(tmp_path / "nobody.sock")
    with pytest.raises(Failure) as raised:
        await api.get("/v1/network")
    await api.close()
    assert raised.value.message == "the coordinator can't be reached: No such file or directory"
    assert "innerd serve" in (raised.value.hint or "")


def test_an_error_of_the_system_is_its_words_and_the_path() -> None:
    error = PermissionError(13, "Permission denied", "/x")
    assert plainly(error) == "/x: Permission denied"
    assert plainly(error, Path("/x")) == "Permission denied"
    assert plainly(TimeoutError()) == "it took too long"
    assert plainly(ValueError("no")) == "no"

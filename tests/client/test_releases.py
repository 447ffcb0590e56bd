"""Agents of another release than what is installed, or than the coordinator is of, are named by doctor."""

import asyncio
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from innclient.agent import asking, control
from innclient.agent.views import from_files, status
from innclient.verbs.doctor import _agent
from innerd import __version__
from innerd.manage.doctor import _releases
from innerd.wire.ours import Status
from tests.client.support import session_at


def coordinator(software: dict[str, int]) -> Status:
    return Status(
        network="kermpany",
        id="",
        generation=1,
        revision=1,
        head="",
        version="0.10.0",
        is_serving=True,
        started=0.0,
        peers=3,
        online=0,
        streams=0,
        lagging=[],
        endpoint=None,
        device_errors=0,
        follower_errors={},
        software=software,
    )


def test_agents_that_are_older_than_their_coordinator_are_named() -> None:
    (found,) = _releases(coordinator({"inn/0.9.1": 2, "inn/0.10.0": 5, "ureq/2.12.1": 1, "unknown": 3}))
    assert (found.check, found.state) == ("releases", "warning")
    assert "2 run inn/0.9.1; this is innerd 0.10.0" in found.text
    assert list(_releases(coordinator({"inn/0.10.0": 5, "inn/0.11": 1, "other": 3}))) == []


@pytest.mark.parametrize(("release", "is_named"), [("0.0.9", True), (__version__, False), ("", False)])
async def test_an_agent_that_runs_since_before_an_upgrade_is_named(
    release: str, is_named: bool, tmp_path: Path
) -> None:
    session = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    show = from_files(session.paths, None)
    told = replace(await status(session), release=release)

    async def answer(request: asking.Request) -> Struct:
        return told if request.verb == "status" else show

    opened = control.ControlSocket(session.paths.socket, answer, session.paths.data)
    await opened.open()
    try:
        found = await asyncio.to_thread(lambda: list(_agent(session.paths)))
    finally:
        await opened.close()
        await session.http.aclose()
    said = [finding for finding in found if "is installed" in finding.text]
    assert [finding.state for finding in said] == (["warning"] if is_named else [])
    assert all("release 0.0.9" in finding.text for finding in said)

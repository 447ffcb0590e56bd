"""How an agent is, in the line that `systemctl status` shows: all that is wrong stands in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from innclient.agent.session import Session
from innclient.agent.views import headline
from innclient.core.pins import Pins
from innclient.core.views import Broken
from tests.client.support import session_at
from tests.world import key


def connected(session: Session) -> None:
    session.agent.connection.since = 1.0


def is_late(session: Session) -> None:
    session.agent.connection.since, session.peer_paths.ahead = 1.0, -3600.4


def has_other_keys(session: Session) -> None:
    mari = Broken(peer=4, name="mari", ip="10.42.0.4", pinned=key("mari"), offered=key("eve"), since=1.0)
    session.membership.pins = Pins({}, {mari.ip: mari})


def has_no_disk(session: Session) -> None:
    session.journal.broken = "No space left on device"


def has_no_device(session: Session) -> None:
    session.agent.change.error = "it is left alone"


def saw_another_log(session: Session) -> None:
    session.agent.connection.forked = "the log was rewound"


@pytest.mark.parametrize(
    ("ailment", "says"),
    [
        (lambda session: None, "no connection: connecting, revision 0"),
        (connected, "connected, revision 0"),
        (is_late, "THE CLOCK is 3600 s off the coordinator's: proofs of administrators are refused"),
        (has_other_keys, "OTHER KEYS ARE REFUSED: mari"),
        (has_no_disk, "THE DISK CAN'T BE WRITTEN: No space left on device"),
        (has_no_device, "THE DEVICE IS NOT AS IT SHOULD BE: it is left alone"),
        (saw_another_log, "ANOTHER LOG THAN WAS SEEN: the log was rewound"),
    ],
)
async def test_what_is_said(ailment: Callable[[Session], None], says: str, tmp_path: Path) -> None:
    session = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    ailment(session)
    said = headline(session)
    assert said.startswith("kermpany: ")
    assert said.endswith(says)
    await session.http.aclose()

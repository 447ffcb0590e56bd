"""The coordinator's disk is full or takes no writes: reading goes on, writing waits, nothing acknowledged is lost."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.netns import crashing, steps
from tests.netns.conftest import Kermpany
from tests.netns.crashing import DATABASE, SERVE, Asked
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.steps import NETWORK
from tests.netns.test_refusals import refused

FOLDER = "/var/lib/innerd"
IMAGE = "/run/.lab/disk.img"
ADD_CIDR = ("innerd", "add-cidr", NETWORK, "--name", "never", "--cidr", "10.42.60.0/24", "--parent", NETWORK)


def small_disk(host: Host) -> None:
    """In memory, and soon full."""
    host.run("mkdir", "-p", FOLDER)
    host.run("mount", "-t", "tmpfs", "-o", "size=2m", "small", FOLDER)


def bad_disk(host: Host) -> None:
    """A file system that can stop taking writes while files of it are open, as after an I/O error."""
    host.run("mkdir", "-p", FOLDER)
    host.run("truncate", "-s", "16M", IMAGE)
    host.run("mkfs.ext4", "-q", IMAGE)
    mount(host)


def mount(host: Host) -> None:
    host.run("mount", "-o", "loop,errors=remount-ro", IMAGE, FOLDER)


def made_on(make_lab: Callable[[], Lab], disk: Callable[[Host], None]) -> Kermpany:
    """A served network whose log lies on a disk, with the peer ryo connected."""
    made = Kermpany(make_lab(), 4)
    disk(made.coordinator)
    made.begin()
    made.join("ryo", "humans")
    return made


@pytest.fixture(scope="module")
def small(make_lab: Callable[[], Lab]) -> Kermpany:
    return made_on(make_lab, small_disk)


@pytest.fixture(scope="module")
def shared_bad(make_lab: Callable[[], Lab]) -> Kermpany:
    return made_on(make_lab, bad_disk)


@pytest.fixture
def bad(shared_bad: Kermpany) -> Iterator[Kermpany]:
    """As every test finds it: writable, and served."""
    yield shared_bad
    repaired(shared_bad.coordinator)
    steps.serve(shared_bad.coordinator)


def repaired(host: Host) -> None:
    """What can be written again after an error is so after a mount, which replays the journal."""
    steps.kill(host, "innerd serve")
    wait_for(lambda: host.ask("umount", FOLDER).returncode == 0, "the folder to be nobody's")
    mount(host)


@pytest.fixture
def full(small: Kermpany) -> Iterator[Path]:
    """The disk is full to its last byte; removing the file that fills it frees it."""
    served(small.coordinator)
    ballast = small.coordinator.path(f"{FOLDER}/ballast")
    fill(ballast)
    yield ballast
    ballast.unlink(missing_ok=True)


def served(host: Host) -> None:
    """The test before may have ended it."""
    if not host.pids("innerd serve"):
        steps.serve(host)


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            """Until there is no space left."""
    assert ballast.stat().st_size > 0


class Writes:
    """Commands one by one until they are refused for the disk's sake."""

    def __init__(self, range_: int) -> None:
        self.range = range_
        self.acknowledged: list[str] = []  # their keys
        self.refused: Asked | None = None

    async def until_refused(self, http: httpx2.AsyncClient) -> dict[str, Any]:
        for number in range(256):
            asked = crashing.add_cidr(f"w{self.range}-{number}", f"10.42.{self.range}.{number}/32")
            answer = await asked.send(http)
            if answer.status_code != 201:
                self.refused = asked
                assert answer.status_code == 503, answer.content
                return dict(answer.json())
            self.acknowledged.append(asked.key)
        raise AssertionError("the disk took all of them")


async def requests_of(http: httpx2.AsyncClient) -> list[str | None]:
    page = await http.get("/v1/admin/events", params={"limit": 500, "type": "cidr.created"})
    return [event["request"] for event in page.json()["events"]]


async def writing_fails_and_the_rest_goes_on(made: Kermpany, writes: Writes, number: int) -> None:
    """`number`: of the range that is written to."""
    coordinator, ryo = made.coordinator, made.hosts["ryo"]
    async with crashing.socket(coordinator) as http:
        assert (await writes.until_refused(http))["code"] == "store_unavailable"
        assert (await writes.until_refused(http))["code"] == "store_unavailable", "and again"
        assert set(writes.acknowledged) <= set(await requests_of(http))
        assert writes.refused is not None
        assert writes.refused.key not in await requests_of(http)
    assert refused(coordinator, *ADD_CIDR) == (5, "store_unavailable")
    assert steps.answered(ryo, "10.42.0.1", made.name("ryo"))[0] == "NOERROR"
    assert steps.asked(coordinator, "innerd", "status", NETWORK)["streams"] == 1
    assert "ryo" in ryo.run("inn", "show", NETWORK)
    steps.reaches(ryo, "10.42.0.1")


async def test_a_full_disk_refuses_changes_until_there_is_space_again(small: Kermpany, full: Path) -> None:
    coordinator, ryo, writes = small.coordinator, small.hosts["ryo"], Writes(40)
    pids, since = coordinator.pids("innerd serve"), steps.status(ryo)["connected_since"]
    await writing_fails_and_the_rest_goes_on(small, writes, 40)
    full.unlink()
    async with crashing.socket(coordinator) as http:
        assert writes.refused is not None
        answers = [await writes.refused.send(http) for _ in range(2)]  # what was refused is not held against it
        assert [answer.status_code for answer in answers] == [201, 201]
        found = await requests_of(http)
        assert found.count(writes.refused.key) == 1
        assert (await http.post("/v1/admin/rebuild")).json()["differing"] == 0
        revision = int(answers[0].headers["x-innerd-revision"])
    wait_for(lambda: steps.status(ryo)["revision"] >= revision, "ryo to hear of it on the stream that it had")
    assert (coordinator.pids("innerd serve"), steps.status(ryo)["connected_since"]) == (pids, since)
    coordinator.run("innerd", "verify", NETWORK)


async def test_a_kill_on_a_full_disk_loses_nothing(small: Kermpany, full: Path) -> None:
    coordinator, writes = small.coordinator, Writes(41)
    async with crashing.socket(coordinator) as http:
        await writes.until_refused(http)
    steps.kill(coordinator, "innerd serve")
    steps.serve(coordinator)
    fill(full)  # the space too that the WAL gave back when it was read
    async with crashing.socket(coordinator) as http:
        assert set(writes.acknowledged) <= set(await requests_of(http))
        later = Writes(44)
        assert (await later.until_refused(http))["code"] == "store_unavailable"
        full.unlink()
        assert writes.refused is not None
        assert (await writes.refused.send(http)).status_code == 201
        assert {*writes.acknowledged, *later.acknowledged, writes.refused.key} <= set(await requests_of(http))
    coordinator.run("innerd", "verify", NETWORK)


def test_a_start_on_a_full_disk_says_so(small: Kermpany, full: Path) -> None:
    """After a clean end, when SQLite has put its WAL away and there is no space for a new one."""
    coordinator = small.coordinator
    steps.kill(coordinator, "innerd serve", steps.signal.SIGTERM)
    fill(full)
    before = coordinator.path(DATABASE).read_bytes()
    assert refused(coordinator, *SERVE) == (6, "store_unavailable")
    said = coordinator.ask(*SERVE).stderr
    assert DATABASE in said
    assert "hint:" in said, "a disk I/O error may be a full disk: what is to be done?"
    assert coordinator.path(DATABASE).read_bytes() == before
    full.unlink()
    crashing.kill(steps.serve(coordinator))


async def test_a_disk_that_became_read_only_refuses_changes_and_serves_on(bad: Kermpany) -> None:
    coordinator, writes = bad.coordinator, Writes(42)
    before = [crashing.add_cidr(f"before{n}", f"10.42.43.{n}/32") for n in range(5)]
    async with crashing.socket(coordinator) as http:
        assert [(await asked.send(http)).status_code for asked in before] == [201] * 5
    coordinator.run("mount", "-o", "remount,abort", FOLDER)
    await writing_fails_and_the_rest_goes_on(bad, writes, 42)
    repaired(coordinator)
    steps.serve(coordinator)
    async with crashing.socket(coordinator) as http:
        found = await requests_of(http)
        assert {asked.key for asked in before} | set(writes.acknowledged) <= set(found)
        assert writes.refused is not None
        assert writes.refused.key not in found
        assert (await writes.refused.send(http)).status_code == 201
    coordinator.run("innerd", "verify", NETWORK)


@pytest.mark.parametrize("ended", ["SIGTERM", "SIGKILL"])
def test_a_start_on_a_read_only_disk_says_so_and_touches_nothing(bad: Kermpany, ended: str) -> None:
    coordinator = bad.coordinator
    steps.kill(coordinator, "innerd serve", steps.signal.Signals[ended])
    remounted = ("mount", "-o", "remount,ro", FOLDER)  # as soon as Linux has let go of the files of who was killed
    wait_for(lambda: coordinator.ask(*remounted).returncode == 0, "a read-only disk")
    before = {file.name: file.read_bytes() for file in coordinator.path(FOLDER).iterdir() if file.is_file()}
    done = coordinator.ask(*SERVE)
    assert done.returncode == 6, done.stderr
    assert "ead-only" in done.stderr or "readonly" in done.stderr, done.stderr
    assert FOLDER in done.stderr
    assert {f.name: f.read_bytes() for f in coordinator.path(FOLDER).iterdir() if f.is_file()} == before


def test_a_coordinator_whose_own_messages_cannot_be_written_goes_on(make_lab: Callable[[], Lab]) -> None:
    """Its stderr may lie on that full disk, or be a pipe whose reader is gone."""
    host = make_lab().host("coordinator")
    steps.found(host, "10.42.0.0/16")
    host.start("bash", "-c", f"exec {' '.join(SERVE)} 2>/dev/full", log="/run/.lab/innerd.log")
    wait_for(lambda: "serves" in steps.said(host, "innerd.log"), "innerd serve")
    host.run(*ADD_CIDR, timeout=30)
    assert "never" in host.run("innerd", "list-cidrs", NETWORK)

"""Every command of the documentation, typed on hosts of a lab as a page shows it, and what it says compared.

A page is one story: its commands are typed in order. Where it takes a network for granted, that is set up before, with
as many of its peers as the page speaks of. What no host of a lab can do is listed in `UNTYPED` with the reason; a
command that is neither there nor typed fails.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.netns import taken_for_granted as granted
from tests.netns.lab import lab
from tests.netns.terminal import Typist
from tests.pages import GENERATED, PAGES, ROOT, Step, steps, strays


@dataclass(frozen=True)
class Story:
    """What is there before a page's first command, and the names that the internet's DNS has for hosts."""

    before: Callable[[Typist, set[str]], None] = granted.nothing
    names: dict[str, str] = field(default_factory=lambda: {"coordinator": "vpn.example.com"})


MOVING = {"coordinator": "vpn.example.com", "newhost": "vpn2.example.com"}
STORIES = {
    "README.md": Story(),
    "quickstart.md": Story(),
    "first-network.md": Story(granted.quick_start),
    "people.md": Story(granted.quick_start),
    "cidrs.md": Story(granted.kermpany),
    "audit.md": Story(granted.kermpany),
    "backup.md": Story(granted.kermpany),
    "commands.md": Story(granted.without_mari),
    "names.md": Story(granted.kermpany),
    "packaging.md": Story(granted.quick_start),
    "monitoring.md": Story(granted.kermpany),
    "from-innernet.md": Story(granted.evilcorp),
    "nat-trouble.md": Story(granted.kermpany),
    "relay.md": Story(granted.kermpany),
    "phones.md": Story(granted.kermpany),
    "upgrade.md": Story(granted.quick_start),
    "moving.md": Story(granted.moving, MOVING),
}

# Commands that are not typed, by what they begin with: why not, and what tries them instead.
UNTYPED = {
    r"(\w+=\w+ )?make ": "in a checkout: .ci/run runs lint and test, tests/packaging most of the rest",
    r"git checkout <|sha256sum dist/": "in a checkout: tests/packaging/test_reproducible.py builds twice",
    r"scp dist/": "from a checkout, where nothing was made",
    r"(.* && |\w+=\w+ )?apt ": "the package is built for it: tests/packaging/test_life.py does all of it",
    r"pipx |python3 -m venv|/opt/innerd/bin/pip|ln -s /opt": "would change this machine: tests/packaging/test_wheel.py",
    r"podman ": "no engine on every machine: built and run by hand, how is said on the page",
    r"litestream |(install|cp|systemctl) .*litestream": "no package registry has it; said on the page",
    r"cp kermpany.toml|innerd .*/var/backups/innerd/": "go on from what Litestream brought",
    r"promtool ": "needs a Prometheus: tests/deploy/test_alerts.py runs it on these files",
    r"(cp|install) .*grafana|systemctl restart grafana-server": "no package registry has Grafana; said on the page",
    r"inn verify kermpany db1.note": "both must have been there for a minute: tests/client/test_verifying.py",
    r".*/srv/left/": "for a log that went back: tests/test_heads.py does all of it",
    r"datasette ": "another project's server, which goes on; it opens the file as sqlite3 does above it",
}


def typed(path: Path) -> list[Step]:
    return [step for step in steps(path) if not any(re.match(begin, step.command) for begin in UNTYPED)]


def spoken_of(commands: list[Step]) -> set[str]:
    """The words of a page's commands, the names of hosts among them."""
    return {word for step in commands for word in (str(step.host), *step.command.split())}


WITH_COMMANDS = [path for path in PAGES if typed(path)]


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: path.name)
def test_every_command_of_a_page_does_what_the_page_shows(path: Path) -> None:
    story, commands = STORIES[path.name], typed(path)
    with lab() as made:
        typist = Typist(made, story.names)
        story.before(typist, spoken_of(commands))
        for step in commands:
            typist.type(step)


def test_each_story_is_a_page_with_commands() -> None:
    assert {path.name for path in WITH_COMMANDS} == set(STORIES)


@pytest.mark.parametrize("path", [page for page in PAGES if page.name not in GENERATED], ids=lambda path: path.name)
def test_no_command_stands_where_it_is_not_typed(path: Path) -> None:
    assert not list(strays(path)), "a command stands in a block of kind `console`, behind its host's name"


@pytest.mark.parametrize("begin", UNTYPED)
def test_what_is_not_typed_is_still_spoken_of_and_what_tries_it_is_there(begin: str) -> None:
    assert any(re.match(begin, step.command) for path in PAGES for step in steps(path)), "nothing begins with it"
    for named in re.findall(r"tests/[\w/]+(?:\.py)?", UNTYPED[begin]):
        assert (ROOT / named).exists(), named

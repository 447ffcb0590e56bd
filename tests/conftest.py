"""What all tests share: logs go to stderr and say what an administrator must know, as they do where a command runs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from innerd.host import logs
from innerd.host.sparing import SparingFilter

logs.configure("text", 0)

settings.register_profile("loaded", deadline=None)  # how long an example takes is a matter of the machine
settings.load_profile("loaded")


LONGEST = Path(__file__).parent / "netns"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the files, the longest come first: at the end none waits for one that has such a file."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: LONGEST not in item.path.parents)


@pytest.fixture
def spared(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparingFilter]:
    """The filter of libraries' lines, alone before what is captured: the process' own has heard other tests."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [caplog.handler])
    caplog.handler.addFilter(spared := SparingFilter())
    yield spared
    caplog.handler.removeFilter(spared)

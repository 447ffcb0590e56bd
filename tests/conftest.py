"""What all tests share: logs go to stderr and say what an administrator must know, as they do where a command runs."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

from innerd.host import logs
from innerd.host.sparing import SparingFilter

logs.configure("text", 0)

settings.register_profile("loaded", deadline=None)  # how long an example takes is a matter of the machine
settings.load_profile("loaded")


@pytest.fixture
def spared(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparingFilter]:
    """The filter of libraries' lines, alone before what is captured: the process' own has heard other tests."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [caplog.handler])
    caplog.handler.addFilter(spared := SparingFilter())
    yield spared
    caplog.handler.removeFilter(spared)

"""An event loop whose clock is stepped by hand: what takes seconds is over at once, over real sockets too."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class SteppedLoop(asyncio.SelectorEventLoop):
    """The real clock, and what a test adds to it."""

    def __init__(self) -> None:
        self.stepped = 0.0
        super().__init__()

    def time(self) -> float:
        return super().time() + self.stepped


def on_stepped_time(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(scenario)


async def step(seconds: float) -> None:
    """Let time pass, and let what that wakes have its turn. First comes what is on its way: it was there before."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    for _ in range(10):
        await asyncio.sleep(0)
    loop.stepped += seconds
    for _ in range(10):
        await asyncio.sleep(0)

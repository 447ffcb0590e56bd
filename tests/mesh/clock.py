"""An event loop that never waits: when nothing is left to do, it is the time of the next timer. What is given to a
thread is done at once. So minutes take as long as their work, and every run of a seed is the same."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now = 0.0
        super().__init__()

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *args: Any) -> Any:
        done = self.create_future()
        try:
            done.set_result(function(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def lived(life: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on jumping time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(life)

"""Where a program begins: loading takes its time, and Ctrl-C before anything is done leaves no traceback."""

import importlib
import os
import signal


def begin(module: str) -> None:
    """Load a program's module, and run its `main`."""
    signal.signal(signal.SIGINT, _not_begun)
    program = importlib.import_module(module)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    program.main()


def _not_begun(number: int, frame: object) -> None:
    os.write(2, b"error: interrupted: nothing was changed [interrupted]\n")
    os._exit(130)


def main() -> None:
    begin("innerd.cli")

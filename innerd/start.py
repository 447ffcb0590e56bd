"""Where a program begins: loading takes its time, and Ctrl-C before anything is done leaves no traceback."""

import importlib
import os
import signal


def begin(program: str, module: str, quick: str | None = None) -> None:
    """Load a program's module, and run its `main`. Where it is simple, that is not needed: a shell that asks what may
    stand somewhere is answered without it, and so is what `quick` answers."""
    signal.signal(signal.SIGINT, _not_begun)
    asked = os.environ.get(f"_{program.upper()}_COMPLETE")
    if asked and importlib.import_module("innerd.command.completing").answered(program, asked):
        return
    if quick is not None and not asked and importlib.import_module(quick).answered():
        return
    loaded = importlib.import_module(module)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    loaded.main()


def _not_begun(number: int, frame: object) -> None:
    os.write(2, b"error: interrupted: nothing was changed [interrupted]\n")
    os._exit(130)


def main() -> None:
    begin("innerd", "innerd.cli")

"""Questions to a person: only when stdin and stderr are terminals; each has a flag, which is named if not."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from innerd.domain.errors import Refused
from innerd.failure import Failure, usage
from innerd.terminal import printable


def is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _missing(flag: str) -> Failure:
    return usage(f"{flag} is missing, and there is no terminal to ask on", f"give {flag}", "missing_flag")


def need(given: Mapping[str, object]) -> None:
    """Where nobody can be asked, all flags that are missing are named at once. Raises Failure."""
    missing = [flag for flag, value in given.items() if value is None]
    if not missing or is_interactive():
        return
    if len(missing) == 1:
        raise _missing(missing[0])
    flags = f"{', '.join(missing[:-1])} and {missing[-1]}"
    raise usage(f"{flags} are missing, and there is no terminal to ask on", f"give {flags}", "missing_flag")


def _ask(make: Callable[..., Any], what: str, **kwargs: Any) -> Any:
    """Verbs run on an event loop and questionary starts one of its own: it asks in a thread."""
    from concurrent.futures import ThreadPoolExecutor

    from prompt_toolkit.output import create_output

    question = make(printable(what), output=create_output(stdout=sys.stderr), **kwargs)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(question.unsafe_ask).result()
    if answer is None:
        raise KeyboardInterrupt
    return answer


def text(question: str, flag: str, default: str = "", check: Callable[[str], object] | None = None) -> str:
    """A line of text that `check` accepts (it raises Refused or Failure)."""
    if not is_interactive():
        raise _missing(flag)
    import questionary

    def validate(answer: str) -> bool | str:
        try:
            if check is not None:
                check(answer)
        except (Refused, Failure) as error:
            return printable(error.message)
        return True

    return str(_ask(questionary.text, question, default=printable(default), validate=validate))


def choose(question: str, flag: str, choices: Sequence[tuple[str, str]]) -> str:
    """One of several; `choices` are (value, label)."""
    if not is_interactive():
        raise _missing(flag)
    if not choices:
        raise usage(f"there is nothing to choose for {flag}")
    import questionary

    shown = [questionary.Choice(printable(label), value) for value, label in choices]
    return str(_ask(questionary.select, question, choices=shown))


def yes_no(question: str, flag: str, *, default: bool = False) -> bool:
    if not is_interactive():
        raise _missing(flag)
    import questionary

    return bool(_ask(questionary.confirm, question, default=default))


def port(text: str) -> None:
    """A check for a question: a UDP or TCP port. Raises Failure."""
    from innerd.domain.values import whole_number

    if not whole_number(text, 65535):
        raise usage(f'"{text}" is not a port')


def new_file(text: str) -> None:
    """A check for a question: a file that can be made, or `-` for stdout. Raises Failure."""
    path = Path(text)
    if text == "-":
        return
    if path.exists():
        raise usage(f"there is one already: {path}")  # what matters first: a line below a question has its end cut
    if not path.parent.is_dir():
        raise usage(f"there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise usage(f"nothing can be written in {path.parent}")


def confirm(question: str, *, yes: bool) -> None:
    """Go on, or end with nothing done."""
    if yes:
        return
    if not yes_no(question, "--yes"):
        raise Failure(130, "cancelled", "nothing was changed")

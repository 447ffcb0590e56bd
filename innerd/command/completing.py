"""Answers a shell that asks what may stand at the cursor, from `table`: a verb, its flags, and names that are known on
this host. The library that reads command lines takes longer to load than people wait for a key; what is not simple
(quotes, `--`, flags run together, other folders) is left to it, and both say the same.
"""

import os
import sys
from collections.abc import Iterable

from innerd.command.table import FLAGS, SAID, TAKES

Item = tuple[str, str, str]  # type, value, what it is for
Kind = str | tuple[str, ...] | None
_FOLDERS = {"--config-dir", "--data-dir", "--runtime-dir"}


class NotSimple(Exception):
    """Not for here."""


def answered(program: str, asked: str) -> bool:
    """Whether the question was one for here: it is answered on stdout then."""
    shell, _, what = asked.partition("_")
    form = _FORMS.get(shell)
    if what != "complete" or form is None:
        return False
    try:
        words, typed = _question(shell)
        items = list(offered(program, words, typed))
    except (NotSimple, KeyError, ValueError, IndexError):
        return False
    sys.stdout.buffer.write(("\n".join(map(form, items)) + "\n").encode())
    return True


def _question(shell: str) -> tuple[list[str], str]:
    """The words before the one at the cursor, and what there is of that."""
    line, at = os.environ["COMP_WORDS"], os.environ["COMP_CWORD"]
    if any(sign in line + at for sign in "'\"\\"):
        raise NotSimple
    words = line.split()
    if shell == "fish":
        typed = at.split()[0] if at else ""
        if typed and words[1:] and words[-1] == typed:
            words.pop()
        return words[1:], typed
    number = int(at)
    return words[1:number], words[number] if number < len(words) else ""


def offered(program: str, words: list[str], typed: str) -> Iterable[Item]:
    """What may stand in place of `typed`. Raises NotSimple."""
    verb, taken, given = "", _Taken(TAKES[program][""]), iter(words)
    for word in given:
        if taken.is_value(word, given):
            continue
        if verb:
            taken.arguments.append(word)
        elif word in TAKES[program]:
            verb, taken = word, _Taken(TAKES[program][word])
        else:
            raise NotSimple
    if "=" in typed:
        raise NotSimple
    if taken.waiting is not None:
        if typed.startswith("-"):
            return taken.flags(typed)
        return _values(program, taken, taken.waiting, typed)
    if typed[:1] and not typed[0].isalnum():
        if not typed.startswith("-"):
            raise NotSimple
        return taken.flags(typed)
    if not verb:
        return [("plain", name, SAID[program][name][1]) for name in sorted(SAID[program]) if name.startswith(typed)]
    return _values(program, taken, taken.argument(), typed)


class _Taken:
    """What a command takes, and what of it was given so far."""

    def __init__(self, takes: tuple[tuple[int, ...], tuple[tuple[bool, Kind], ...]]) -> None:
        self._flags, self._arguments = [FLAGS[number] for number in takes[0]], takes[1]
        self._given: set[tuple[str, ...]] = set()
        self.arguments: list[str] = []
        self.waiting: Kind | bool = None  # the kind of value that a flag still waits for; False: of no kind

    def is_value(self, word: str, following: Iterable[str]) -> bool:
        """Whether a word is a flag; its value is taken with it."""
        if not word.startswith("-") or word == "-":
            return False
        name, is_joined, _ = word.partition("=")
        found = next((flag for flag in self._flags if name in flag[0]), None)
        if found is None or not _FOLDERS.isdisjoint(found[0]) or (is_joined and not found[1]):
            raise NotSimple
        self._given.add(found[0])
        if found[1] and not is_joined and next(iter(following), None) is None:
            self.waiting = found[4] or False
            self._given.discard(found[0])
        return True

    def flags(self, typed: str) -> Iterable[Item]:
        for names, _, is_repeated, said, _ in self._flags:
            if is_repeated or names not in self._given:
                yield from (("plain", name, said) for name in names if name.startswith(typed))

    def argument(self) -> Kind | bool:
        """The kind of the first argument that is not there."""
        for number, (is_many, kind) in enumerate(self._arguments):
            if is_many or number >= len(self.arguments):
                return kind or False
        return False


def _values(program: str, taken: _Taken, kind: Kind | bool, typed: str) -> Iterable[Item]:
    if kind == "?" or kind is True:
        raise NotSimple
    if not kind:
        return []
    if kind in ("file", "dir"):
        return [(str(kind), typed, "")]
    if isinstance(kind, str):
        from innerd.command.known import known
        from innerd.command.settings import Settings

        network = taken.arguments[0] if taken.arguments else None
        kind = tuple(known(Settings(program), network, kind))
    return [("plain", word, "") for word in kind if word.startswith(typed)]


def _for_bash(item: Item) -> str:
    return f"{item[0]},{item[1]}"


def _for_zsh(item: Item) -> str:
    value = item[1].replace(":", r"\:") if item[2] else item[1]
    return f"{item[0]}\n{value}\n{item[2] or '_'}"


def _for_fish(item: Item) -> str:
    return f"{item[0]},{item[1]}\t{item[2]}" if item[2] else f"{item[0]},{item[1]}"


_FORMS = {"bash": _for_bash, "zsh": _for_zsh, "fish": _for_fish}

"""`inn show` as it is mostly typed: an agent answers, and nothing is asked for but what `--short` and `--tree` say. The
library that reads command lines takes as long to load as all of this; whatever is not so simple, or does not go well,
is left to it (`look`).
"""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from innclient.core.views import NetworkView

_FLAGS = {"-s": "short", "--short": "short", "-t": "tree", "--tree": "tree", "--json": "json"}
_SIGNS = set("abcdefghijklmnopqrstuvwxyz0123456789-")


def answered() -> bool:
    """Whether the command line was one for here: it is done then."""
    words = sys.argv[1:]
    flags = {_FLAGS[word] for word in words if word in _FLAGS}
    names = [word for word in words if word not in _FLAGS]
    if names[:1] in (["show"], ["list"]):
        names = names[1:]
    elif words:
        return False
    if len(names) > 1 or not all(map(_is_plain, names)):
        return False
    views = _views(names)
    if not views:
        return False
    _show(views, flags)
    return True


def _is_plain(name: str) -> bool:
    return bool(name) and name[0] != "-" and _SIGNS.issuperset(name)


def _views(names: list[str]) -> "list[NetworkView]":
    """What the agents of networks say; of all that are here, without a name. Empty where one of them does not."""
    from innclient.agent.asking import ask_agent
    from innclient.core.views import NetworkView
    from innclient.paths import installed, paths_of
    from innerd.command.settings import Settings

    settings = Settings("inn")
    views = []
    try:
        here = installed(settings)
        for name in names or here:
            view = (
                ask_agent(paths_of(settings, name), "show", NetworkView) if name in here and _is_plain(name) else None
            )
            if view is None:
                return []
            views.append(view)
    except Exception:  # what it is, the long way says
        return []
    return views


def _show(views: "list[NetworkView]", flags: set[str]) -> None:
    from innclient.verbs import show
    from innerd.command import screen, stdio

    stdio.make_whole()

    def once() -> int:
        if "json" in flags:
            show.as_json(views)
        else:
            for view in views:
                show.as_text(view, short="short" in flags, tree="tree" in flags, whole_keys=False)
        return 0

    try:
        screen.shown(once)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever stops reading has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

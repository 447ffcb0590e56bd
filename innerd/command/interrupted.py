"""What Ctrl-C means to a verb: what may be done already, and how to go on. Admin verbs know by themselves whether they
have sent anything."""

from innerd.failure import INTERRUPTED, Failure

_NOTHING = ("nothing was changed", "run it again; what is given as flags is not asked for")
_LOOKS = ("it only looked", "run it again")
_SAID: dict[str, tuple[str, str]] = {
    "install": (
        "it may have joined, or not",
        "run it again: it goes on where it was",
    ),
    "up": ("the interface may be up, and what was known applied", "run it again; inn down takes it away"),
    "fetch": ("what was told by then may be applied", "run it again"),
    "down": ("the interface may be down already", "run it again"),
    "uninstall": ("a part may be gone already", "run it again: it goes on with what is left"),
    "trust": ("the key may be trusted already", "inn status says what is still refused"),
    "set-listen-port": ("the port may be changed already", "inn show says which it is"),
    "override-peer-endpoint": ("the endpoint may be kept already", "run it again"),
    "import-innernet": ("a part may be written already", "run it again: it says so where that network is there"),
    "new": ("a part may be written already", "run it again: it says so where that network is there"),
    "serve": ("it serves no more; the tunnel stays up", "innerd serve"),
    "backup": ("no backup was written", "run it again"),
    "restore": ("a part may be put back already", "run it again: what half a restore left is in nobody's way"),
}
_LOOKING = {"show", "status", "events", "doctor", "verify", "help", "completions"}


def failure(verb: str) -> Failure:
    """What a verb that was interrupted ends with."""
    said, hint = _SAID.get(verb, _LOOKS if verb in _LOOKING else _NOTHING)
    return Failure(INTERRUPTED, "interrupted", f"interrupted: {said}", hint)

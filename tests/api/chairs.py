"""A connection of a source that only notes what is done to it."""

from innerd.api.sources import Sources

MARI = ("127.42.128.2", 40_000)


class Chair:
    """With `sources` it takes a seat there, if there is room."""

    def __init__(self, sources: Sources | None = None, client: tuple[str, int] = MARI) -> None:
        self.is_proven = self.is_held = self.is_dropped = False
        self.is_unread = False
        self.has_sent = self.is_due = False
        self.source = None if sources is None else sources.admit(client)
        if sources is not None and self.source is not None:
            sources.seat(self, self.source)

    def hold(self) -> None:
        self.is_held = True

    def has_more(self) -> bool:
        return self.has_sent

    def let_go(self, is_due: bool) -> None:
        self.is_held, self.is_due = False, is_due

    def is_gone(self) -> bool:
        return self.is_dropped

    def drop(self) -> None:
        self.is_dropped = True

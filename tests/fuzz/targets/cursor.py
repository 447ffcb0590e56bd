"""A cursor as a client sends it: it means one place in one log, or nothing."""

from innerd.wire.stream import Cursor, parse_cursor

SEEDS = [b"1.7", b"0.0", b"999999999.999999999999999", b"1.", b"1.7 ", b""]
WORDS = [b".", "١".encode()]


def check(data: bytes) -> None:
    text = data.decode("latin-1")
    read = parse_cursor(text)
    if read is not None:
        assert parse_cursor(str(read)) == read
        assert read == Cursor(*(int(part) for part in text.split(".")))

"""Text that may come from elsewhere, as a terminal may be given it: nothing in it moves the cursor, colours, hides or
turns around what stands beside it. What prints calls this, and nobody else has to."""

from typing import Any

# Controls, format characters (bidirectional ones, tags), halves of a character, ends of lines and paragraphs.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    """Text on one line, with what is not seen escaped as Python spells it."""
    if text.isprintable():
        return text
    import unicodedata

    return "".join(ascii(sign)[1:-1] if unicodedata.category(sign) in _UNSEEN else sign for sign in text)


def json_text(content: Any, indent: int | None = None) -> str:
    """A JSON document, with what is not seen escaped as JSON spells it; `indent` None: on one line."""
    import msgspec

    encoded = msgspec.json.encode(content)
    text = (encoded if indent is None else msgspec.json.format(encoded, indent=indent)).decode()
    # A raw end of a line is the format's own: in strings it is escaped already.
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def _escaped(line: str) -> str:
    import unicodedata

    return "".join(json_escape(sign) if unicodedata.category(sign) in _UNSEEN else sign for sign in line)


def json_escape(sign: str) -> str:
    """RFC 8259 section 7: UTF-16, so what lies beyond the first 65,536 characters takes two."""
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))

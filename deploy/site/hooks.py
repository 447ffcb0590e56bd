"""What the site shows otherwise than the files.

Links that leave docs/ are words: a site has no other files. A bar within code within a table is written `\\|` where
Markdown is GitHub's, and `|` where it is Python's.
"""

import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    lines = re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown).split("\n")
    return "\n".join(_row(line) if line.startswith("|") else line for line in lines)


def _row(line: str) -> str:
    return re.sub(r"`[^`]*`", lambda code: code[0].replace("\\|", "|"), line)

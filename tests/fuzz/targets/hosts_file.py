"""The hosts file of a machine: whatever stands in it, no line but ours is ever changed, and what was put in can be
taken out again."""

from innerd.failure import Failure
from innerd.host import hostsfile

_BEGIN, _END = b"# DO NOT EDIT innernet kermpany BEGIN", b"# DO NOT EDIT innernet kermpany END"
_OURS = [b"10.42.128.1 ryo.kermpany.wg", b"10.42.128.2 mari.kermpany.wg"]

SEEDS = [
    b"127.0.0.1 localhost\n::1 localhost\n",
    b"127.0.0.1 localhost\n\n%s\n10.42.128.1 ryo.kermpany.wg\n%s\n" % (_BEGIN, _END),
    b"127.0.0.1 localhost\r\n%s\r\n%s\r\n10.0.0.1 b" % (_BEGIN, _END),
    b"%s\n%s\n\n10.0.0.1 b\n" % (_BEGIN.replace(b"kermpany", b"other"), _END.replace(b"kermpany", b"other")),
    b"",
]
WORDS = [_BEGIN, _END, _BEGIN + b"\n", _END + b"\n", b"\n", b" ", b"\t", b"10.0.0.1 a\n"]


def check(data: bytes) -> None:
    try:
        after = hostsfile.replaced(data, "kermpany", _OURS)
    except Failure:
        return
    assert hostsfile.replaced(after, "kermpany", _OURS) == after
    if _BEGIN in (line.strip() for line in data.split(b"\n")):  # of ours there was something before
        before, behind = _around(data)
        assert after == b"\n".join([*before, _BEGIN, *_OURS, _END, *behind])
    else:  # a last line has an end now, and a blank line at the end may have been ours
        assert after.startswith(data)
        assert hostsfile.replaced(after, "kermpany", []) in (data, data + b"\n", data.removesuffix(b"\n"))


def _around(data: bytes) -> tuple[list[bytes], list[bytes]]:
    lines = data.split(b"\n")
    marks = [line.strip() for line in lines]
    return lines[: marks.index(_BEGIN)], lines[marks.index(_END) + 1 :]

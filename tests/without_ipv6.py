"""Runs a command as on a kernel that has no IPv6: seccomp(2) refuses its sockets with EAFNOSUPPORT.

python without_ipv6.py COMMAND [ARGUMENT]...
"""

import ctypes
import os
import platform
import struct
import sys

_SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
_LOAD, _IS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 97  # EAFNOSUPPORT
_AF_INET6 = 10
_NUMBER, _FIRST = 0, 16  # of struct seccomp_data

_FILTER = [
    (_LOAD, 0, 0, _NUMBER),
    (_IS, 0, 3, _SOCKET),
    (_LOAD, 0, 0, _FIRST),
    (_IS, 0, 1, _AF_INET6),
    (_RETURN, 0, 0, _REFUSE),
    (_RETURN, 0, 0, _ALLOW),
]


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse() -> None:
    """No socket of IPv6 from now on, in this process and in those that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(struct.pack("=HBBI", *step) for step in _FILTER)
    program = Program(len(_FILTER), code)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp is not to be had")


if __name__ == "__main__":
    refuse()
    os.execvp(sys.argv[1], sys.argv[1:])

"""What a socket hears, decided by the kernel (classic BPF, SO_ATTACH_FILTER): nothing else is ever read here."""

import ctypes
import socket
import struct

Program = list[tuple[int, int, int, int]]  # operation, jumps if true and if not, operand

LOAD_WORD, LOAD_HALF, LOAD_BYTE = 0x20, 0x28, 0x30  # from a place in the packet
LOAD_WORD_X, LOAD_HALF_X = 0x40, 0x48  # from a place after X
IP_HEADER_TO_X, JUMP_EQUAL, RETURN = 0xB1, 0x15, 0x06
ALL = 0xFFFF  # bytes of it

_SO_ATTACH_FILTER = 26


def only_where(*conditions: Program) -> Program:
    """Take what meets all of some conditions; each ends with a jump that goes on where it is met."""
    steps = [step for condition in conditions for step in condition]
    jumps = [
        (operation, 0, len(steps) - number, operand) if operation == JUMP_EQUAL else (operation, 0, 0, operand)
        for number, (operation, _, _, operand) in enumerate(steps)
    ]
    return [*jumps, (RETURN, 0, 0, ALL), (RETURN, 0, 0, 0)]


def equal(load: int, place: int, value: int) -> Program:
    return [(load, 0, 0, place), (JUMP_EQUAL, 0, 0, value)]


def attach(to: socket.socket, program: Program, option: int = _SO_ATTACH_FILTER) -> None:
    """Raises OSError."""
    instructions = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    kept = ctypes.create_string_buffer(instructions)
    to.setsockopt(socket.SOL_SOCKET, option, struct.pack("HL", len(program), ctypes.addressof(kept)))

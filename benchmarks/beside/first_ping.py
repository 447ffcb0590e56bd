"""Run on a host: a ping every 20 ms until one is answered. Prints "pings" when it has begun, then when one was answered
(seconds since 1970), or "never".

    python -m benchmarks.beside.first_ping ADDRESS SECONDS

ping(8) settles on a source address when it starts; this is started before the tunnel is there.
"""

import os
import socket
import struct
import sys
import time

EVERY = 0.02
_REQUEST, _REPLY = 8, 0


def checksum(data: bytes) -> int:
    total = sum(int(word) for word in struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF - ((total + (total >> 16)) & 0xFFFF)


def request(number: int) -> bytes:
    bare = struct.pack("!BBHHH", _REQUEST, 0, 0, os.getpid() & 0xFFFF, number & 0xFFFF)
    return bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:]


def is_answer(packet: bytes, source: str, address: str) -> bool:
    kind, _, _, process, _ = struct.unpack("!BBHHH", packet[20:28])
    return source == address and kind == _REPLY and process == os.getpid() & 0xFFFF


def first(address: str, seconds: float) -> float | None:
    deadline, number = time.monotonic() + seconds, 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as line:
        line.settimeout(EVERY)
        while time.monotonic() < deadline:
            number += 1
            try:
                line.sendto(request(number), (address, 0))
                again = time.monotonic() + EVERY
                while time.monotonic() < again:
                    packet, (source, *_) = line.recvfrom(2048)
                    if is_answer(packet, source, address):
                        return time.time()
            except TimeoutError:
                pass
            except OSError:  # no way there yet
                time.sleep(EVERY)
    return None


if __name__ == "__main__":
    sys.stdout.write("pings\n")
    sys.stdout.flush()
    sys.stdout.write(f"{first(sys.argv[1], float(sys.argv[2])) or 'never'}\n")

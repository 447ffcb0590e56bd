"""Domains where addresses are wanted, looked up aside: nobody waits for a name server longer than they say.

getaddrinfo(3) can't be ended, and with a silent resolver it takes half a minute. So each look-up has a thread of its
own that keeps no process from ending (those of executors do), and there are only a few at a time. What a name server
says counts as little as what a peer says: only where a peer may be is tried.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from innerd.domain.values import Endpoint, Range, can_be_tried, endpoint_address, endpoint_of, split_endpoint

T = TypeVar("T")

_MOST_AT_ONCE = 4  # look-ups of one asker under way
_MOST_NAMES = 256  # that one asker has looked up
_FRESH, _AGAIN = 60.0, 10.0  # seconds until a name is looked up again that had addresses, and that had none


def resolve(endpoint: Endpoint, block: Range | None = None) -> list[Endpoint]:
    """An endpoint with addresses, the one to begin with first: domains are looked up, which may take long. None where
    that fails, nor any at which nobody could be tried; `block` is the network's own range.

    IPv4 before IPv6, where there is a route: behind an IPv4 NAT only the coordinator can tell where one is seen; an
    IPv6 address one knows by oneself."""
    if endpoint_address(endpoint) is not None:
        return [endpoint]
    host, port = split_endpoint(endpoint)
    found = [endpoint_of(address, port) for address in _addresses(host)]
    return sorted((e for e in found if can_be_tried(e, block)), key=lambda e: (not _has_route(e), e.startswith("[")))


def _addresses(name: str) -> list[str]:
    """The addresses of a name by the host's resolver, each once."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, ValueError):  # ValueError: what IDNA can't write
        return []
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _has_route(endpoint: Endpoint) -> bool:
    family = socket.AF_INET6 if endpoint.startswith("[") else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            return probe.connect_ex(split_endpoint(endpoint)) == 0
    except OSError:  # a kernel without that family has no way at all
        return False


def resolved(endpoint: Endpoint, seconds: float, block: Range | None = None) -> list[Endpoint] | None:
    """As `resolve`, and None where it takes longer than that."""
    return _waited_for(lambda: resolve(endpoint, block), seconds)


def addresses(name: str, seconds: float) -> list[str] | None:
    """All addresses of a name, whatever they are; None where it takes longer than that."""
    return _waited_for(lambda: _addresses(name), seconds)


def _waited_for(ask: Callable[[], T], seconds: float) -> T | None:
    answers: queue.SimpleQueue[T] = queue.SimpleQueue()
    _aside(lambda: answers.put(ask()))
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return None


def _aside(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="look-up", daemon=True).start()


class Lookups:
    """Of one asker: what its names were found to be, kept while nothing else is known. `found` is called, in a thread
    of its own, when that is news."""

    def __init__(self, found: Callable[[], None]) -> None:
        self._found = found
        self._known: dict[Endpoint, list[Endpoint]] = {}
        self._due: dict[Endpoint, float] = {}  # when each is looked up again
        self._asking: set[Endpoint] = set()
        self._lock = threading.Condition()

    def want(self, endpoints: Iterable[Endpoint], block: Range | None) -> None:
        """See to it that the domains among these become known, and stay so. Returns at once."""
        names = dict.fromkeys(endpoint for endpoint in endpoints if endpoint_address(endpoint) is None)
        wanted, now = list(names)[:_MOST_NAMES], time.monotonic()
        with self._lock:
            self._known = {name: self._known[name] for name in wanted if name in self._known}
            self._due = {name: self._due.get(name, now) for name in wanted}
            waiting = [name for name in wanted if self._due[name] <= now and name not in self._asking]
            waiting.sort(key=lambda name: self._due[name])  # who waits longest first: all have their turn
            begun = waiting[: max(0, _MOST_AT_ONCE - len(self._asking))]
            self._asking.update(begun)
        for name in begun:
            _aside(partial(self._look_up, name, block))

    def _look_up(self, name: Endpoint, block: Range | None) -> None:
        answer: list[Endpoint] = []
        try:
            answer = resolve(name, block)
        finally:
            with self._lock:
                self._asking.discard(name)
                self._lock.notify_all()
                before = self._known.get(name)
                if name in self._due:
                    self._due[name] = time.monotonic() + (_FRESH if answer else _AGAIN)
                    if answer:  # what failed says nothing
                        self._known[name] = answer
        if answer and answer != before:
            self._found()

    def wait(self, seconds: float) -> None:
        """Until all that is being looked up is known, but no longer than that."""
        with self._lock:
            self._lock.wait_for(lambda: not self._asking, seconds)

    def of(self, endpoint: Endpoint) -> list[Endpoint]:
        """The addresses of an endpoint, so far as they are known."""
        return [endpoint] if endpoint_address(endpoint) is not None else self._known.get(endpoint, [])

"""How long requests and commits take, as histograms: counted on the way of each, so kept cheap."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import chain

from innerd.wire.exposition import head

_HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
_COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)


class Timings:
    def __init__(self) -> None:
        self._http = _Timings(
            "innerd_http_request_duration_seconds", "Time to answer a request, by route template.", _HTTP_BUCKETS
        )
        self._append = _Timings(
            "innerd_event_append_duration_seconds",
            "Time of one commit of the log, however many commands it holds.",
            _COMMIT_BUCKETS,
        )
        self._append.of("")
        self._requests: dict[tuple[str, str, int], _Timing] = {}

    def observe_request(self, route: str, method: str, code: int, seconds: float) -> None:
        key = (route, method, code)
        timing = self._requests.get(key)
        if timing is None:
            timing = self._requests[key] = self._http.of(f'route="{route}",method="{method}",code="{code}"')
        timing.observe(seconds)

    def observe_commit(self, seconds: float) -> None:
        self._append.of("").observe(seconds)

    def render(self) -> bytes:
        return self._append.render() + self._http.render()


class _Timing:
    """One histogram: plain numbers, as a request must not wait for a lock of the library."""

    __slots__ = ("counts", "edges", "heads", "seconds")

    def __init__(self, name: str, labels: str, edges: tuple[float, ...]) -> None:
        self.edges, self.seconds = edges, 0.0
        self.counts = [0] * (len(edges) + 1)
        more, alone = (f"{labels},", f"{{{labels}}}") if labels else ("", "")
        self.heads = [f'{name}_bucket{{{more}le="{edge}"}} ' for edge in (*edges, "+Inf")]
        self.heads += [f"{name}_count{alone} ", f"{name}_sum{alone} "]

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.edges, seconds)] += 1
        self.seconds += seconds

    def lines(self) -> Iterator[str]:
        total = 0
        for begin, count in zip(self.heads, self.counts, strict=False):
            total += count
            yield f"{begin}{total}\n"
        yield f"{self.heads[-2]}{total}\n{self.heads[-1]}{self.seconds}\n"


class _Timings:
    """A family of histograms, by their labels."""

    def __init__(self, name: str, text: str, edges: tuple[float, ...]) -> None:
        self._name, self._edges = name, edges
        self._head = head(name, "histogram", text)
        self._timings: dict[str, _Timing] = {}

    def of(self, labels: str) -> _Timing:
        timing = self._timings.get(labels)
        if timing is None:
            timing = self._timings[labels] = _Timing(self._name, labels, self._edges)
        return timing

    def render(self) -> bytes:
        lines = chain.from_iterable(timing.lines() for timing in self._timings.values())
        return "".join((self._head, *lines)).encode() if self._timings else b""

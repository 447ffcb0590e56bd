"""What a zone keeps its names in: persistent maps, which are the caller's to choose (PEP 603 names the shape).

A change makes a copy that shares all that did not change, through a draft that is written to and finished.
"""

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")


class Draft(Protocol[K, V]):
    def __setitem__(self, key: K, value: V, /) -> None: ...

    def pop(self, key: K, default: Any, /) -> Any: ...

    def update(self, other: Any, /) -> None: ...

    def finish(self) -> "Map[K, V]": ...


class Map(Protocol[K, V]):
    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[K]: ...

    @overload
    def get(self, key: K, /) -> V | None: ...

    @overload
    def get(self, key: K, default: V, /) -> V: ...

    def mutate(self) -> Draft[K, V]: ...

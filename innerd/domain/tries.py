"""The persistent map for Python 3.14 and later, where the usual one has no wheel: its names over the trie of `rpds`.

Only what the domain asks of a map is here; `maps` chooses, and a test holds both against each other.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Generic, TypeVar, overload

from rpds import HashTrieMap

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
_ABSENT: Any = object()


class Map(Mapping[K, V]):
    """A hash trie: a changed map shares all that did not change with the one before."""

    __slots__ = ("_trie",)

    def __init__(self, held: Mapping[K, V] | None = None) -> None:
        self._trie: HashTrieMap[K, V] = held._trie if isinstance(held, Map) else HashTrieMap(held or {})

    @classmethod
    def _of(cls, trie: "HashTrieMap[K, V]") -> "Map[K, V]":
        made = cls.__new__(cls)
        made._trie = trie
        return made

    def __getitem__(self, key: K) -> V:
        return self._trie[key]

    def __contains__(self, key: object) -> bool:
        return key in self._trie

    def __iter__(self) -> Iterator[K]:
        return iter(self._trie)

    def __len__(self) -> int:
        return len(self._trie)

    def __eq__(self, other: object) -> bool:
        return self._trie == other._trie if isinstance(other, Map) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: Any = None) -> Any:
        return self._trie.get(key, default)

    # The trie's own views: those of Mapping ask the map for each value.
    def keys(self) -> KeysView[K]:
        return self._trie.keys()

    def values(self) -> ValuesView[V]:
        return self._trie.values()

    def items(self) -> ItemsView[K, V]:
        return self._trie.items()

    def set(self, key: K, value: V) -> "Map[K, V]":
        return Map._of(self._trie.insert(key, value))

    def delete(self, key: K) -> "Map[K, V]":
        return Map._of(self._trie.remove(key))

    def mutate(self) -> "MapMutation[K, V]":
        return MapMutation(self._trie)


class MapMutation(Generic[K, V]):
    """A map under way; `finish` gives the map."""

    __slots__ = ("_trie",)

    def __init__(self, trie: "HashTrieMap[K, V]") -> None:
        self._trie = trie

    def __getitem__(self, key: K) -> V:
        return self._trie[key]

    def __contains__(self, key: object) -> bool:
        return key in self._trie

    def __len__(self) -> int:
        return len(self._trie)

    def get(self, key: K, default: Any = None) -> Any:
        return self._trie.get(key, default)

    def __setitem__(self, key: K, value: V) -> None:
        self._trie = self._trie.insert(key, value)

    def __delitem__(self, key: K) -> None:
        self._trie = self._trie.remove(key)

    def pop(self, key: K, default: Any = _ABSENT) -> Any:
        value = self._trie.get(key, default)
        if value is _ABSENT:
            raise KeyError(key)
        self._trie = self._trie.discard(key)
        return value

    def update(self, held: Mapping[K, V]) -> None:
        self._trie = self._trie.update(held)

    def finish(self) -> Map[K, V]:
        return Map._of(self._trie)

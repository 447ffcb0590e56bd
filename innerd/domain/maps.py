"""The persistent map of the domain: a HAMT, so that a changed network shares all that did not change.

The only place that imports `immutables` (PEP 603's reference implementation), so that it can be replaced.
"""

from immutables import Map, MapMutation

__all__ = ["Map", "MapMutation"]

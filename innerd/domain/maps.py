"""The persistent map of the domain: a HAMT, so that a changed network shares all that did not change.

The only place that imports `immutables` (PEP 603's reference implementation), so that it can be replaced: where it has
no wheel, `tries` stands in.
"""

import sys

if sys.version_info >= (3, 14):
    from innerd.domain.tries import Map, MapMutation
else:
    from immutables import Map, MapMutation

__all__ = ["Map", "MapMutation"]

"""The verbs of `inn` about this machine: `look` (show, status, doctor) and how that looks (`show`), `events` (and
trust), `endpoints`, `verify`, `doctor`; `flags` are what several of them take."""

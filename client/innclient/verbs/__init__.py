"""The verbs of `inn` about this machine: `interface` (up, fetch, down, uninstall), `look` (show, status, doctor) with
how that looks (`show`) and a short way to it (`quick`), `events` (and trust), `endpoints`, `verify`, `doctor`. What
several of them take is in `flags`."""

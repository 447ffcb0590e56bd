"""A network's names on this host: answered by a stub of our own (`stub`), to which the host's resolver is told to come
(`resolver`), or written to its hosts file where it can't be told (`publisher` decides)."""

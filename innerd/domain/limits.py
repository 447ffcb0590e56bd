"""Bounds of values that are checked where nothing else of a room is needed, and nothing else is loaded."""

MIN_MTU, MAX_MTU = 576, 65_535  # bytes in a packet, of an interface

"""innerd, the coordinator of a private WireGuard network built on an event log."""

__version__ = "0.1.0"

"""A WireGuard interface as data: what it is (`device`), what to change (`plan`), and the backends that do it.

`plan(current, wanted)` is pure: it gives the changes that turn one into the other, so that applying them leaves
nothing to plan. Backends are `kernel` (`netlink` has its messages, `genetlink` the conversation), `userspace`
(wireguard-go over UAPI) and `memory`; all block, so callers on an event loop use a thread. `ownership` says whose an
interface is, `watch` hears at once when somebody touches it, `links` has addresses, routes and MTU; `sockets`, `lanes`
and `filters` are about who is heard on it. Endpoints belong to WireGuard's roaming: a plan sets one only where the
device has none, or where the wish says so.
"""

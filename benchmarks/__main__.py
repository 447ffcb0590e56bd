"""`make bench`, or `python -m benchmarks [log] [start] [http] [dns] …`: those of `BENCHES`."""

import sys

from benchmarks import agent, device, dns, door, growth, http, idle, log, network, relay, size, start, streams
from innerd.host import logs
from innerd.serve.coordinator import spare_the_collector

BENCHES = {
    "log": log.run,
    "start": start.run,
    "size": size.run,
    "http": http.run,
    "door": door.run,
    "streams": streams.run,
    "dns": dns.run,
    "device": device.run,
    "network": network.run,
    "agent": agent.run,
    "idle": idle.run,
    "growth": growth.run,
    "relay": relay.run,
}

logs.configure("text", 0)
spare_the_collector()  # as innerd serve does
for name in sys.argv[1:] or BENCHES:
    BENCHES[name]()

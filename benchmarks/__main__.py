"""`make bench`, or `python -m benchmarks [log] [dns] [network]`."""

import sys

from benchmarks import dns, log, network
from innclient import logs

BENCHES = {"log": log.run, "dns": dns.run, "network": network.run}

logs.configure("text", 0)
for name in sys.argv[1:] or BENCHES:
    BENCHES[name]()

"""What `make bench-peers` runs: innerd beside others who do the like, in turns, in one run, on one machine.

Nobody needs any of this to use innerd, and nothing of it is a dependency: who is not here is left out, and said so.
"""

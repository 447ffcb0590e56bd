"""What it costs the others when peers are hostile: `make flood`.

`innerd serve` itself runs in a network namespace, on a tunnel device of its own. The addresses of its peers are local
to that device, so that hostile peers are sockets on the same machine and nothing is spent on encryption: what is
measured is the coordinator. Beside three and 64 of them at once an honest administrator changes the network, and an
honest peer asks for names.

Read `kinds` (what hostile peers do), `hostile` (the process that does it), `honest` (who is measured beside them),
`coordinator` (who is attacked, its memory and its log), `__main__` (one line a kind).
"""

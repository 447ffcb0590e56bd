"""What both programs do to the host that they run on, and ask of it. All of it blocks.

`files` writes what must not be lost, `toml` reads configs, `hostsfile` keeps our block of /etc/hosts (`rewriting` is
how a file is written in which only a part is ours). `logs` and `sparing` are what goes to the journal, `systemd` what
the service manager is told. `checks` are what a doctor looks at, by `firewall`, `overlap`, `lookup` (does a name
resolve), `reachability` (is anybody there) and `publicip`; `domains` looks names up aside, where addresses are wanted.
"""

"""The shell around the rules (`core`): what keeps one machine in its network.

`session` is the loop: what happens goes to the agent, and what it commands is carried out, in order, by `executor`. It
hears the coordinator by `stream` (`resuming`) and `knocks`, the device by `tunnel`, where things are by `endpoints`,
peers by `paths` (`raw_udp`), and keeps what must last in `store` and `journal`. `control` is the local socket,
`metrics` the page, `views` what is said of it; `run` runs one or several, or one cycle; `errands` is what nothing waits
for.
"""

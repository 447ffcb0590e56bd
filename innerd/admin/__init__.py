"""Every verb of administrators, once: over the tunnel (`inn`), the control socket or in-process (`innerd`).

`transport` carries requests, `verb` makes a command of a function, `ask` puts questions to a terminal; `peers`,
`cidrs`, `records`, `reports` hold the verbs.
"""

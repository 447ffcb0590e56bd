"""Bytes that nobody would send, to whatever reads bytes.

A target (`targets/`, one file each) is a function `check(bytes) -> None` that may raise nothing: it swallows the
errors that its module promises, and asserts what must hold of what was read. `SEEDS` are what is sent when all is well,
`WORDS` fragments that make a difference there. The same targets are driven

- by hypothesis, a few hundred examples each and always the same ones, in the suite (`test_targets.py`),
- by atheris, guided by what code was reached, for as long as you like: `make fuzz MINUTES=60` (`__main__.py`); by
  hypothesis with a new seed where atheris has no wheel.

What was found stays: a file in `found/<target>/`, named by what was wrong, is replayed by the suite for ever.
"""

"""What is raised for bytes that can't be read."""

import msgspec

# What a decoder of msgspec raises for bytes that are not what was wanted: no JSON or another shape; no UTF-8, which is
# no DecodeError; nested deeper than anybody needs, which is not even a ValueError.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

"""One target under atheris: `python -m tests.fuzz.guided TARGET SECONDS FOLDER`. Ends at the first find."""

import sys
from hashlib import sha256
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["innerd", "inndns", "innclient"]):
    from tests.fuzz import targets

    TARGET = targets.load(sys.argv[1])

_LONGEST = 20_000  # bytes
_HANGS = 20  # seconds


def main() -> None:
    seconds, folder = int(sys.argv[2]), Path(sys.argv[3])
    corpus, words = folder / "corpus", folder / "words"
    for kept in (corpus, folder / "found"):
        kept.mkdir(parents=True, exist_ok=True)
    for seed in TARGET.seeds:
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in TARGET.words if 0 < len(word) <= 64))
    options = {
        "max_total_time": seconds,
        "max_len": _LONGEST,
        "timeout": _HANGS,
        "dict": words,
        "artifact_prefix": f"{folder / 'found'}/",
        "print_final_stats": 1,
        "verbosity": 0,
    }
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)], TARGET.check)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    """As libFuzzer's dictionaries want it."""
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in word)


main()

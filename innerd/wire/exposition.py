"""Prometheus' text exposition format (0.0.4): how a family of metrics is written. Pure."""

from collections.abc import Iterable


def head(name: str, kind: str, text: str) -> str:
    """The two lines before a family's samples. `kind`: gauge, counter or histogram."""
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def family(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> str:
    """A family whole; nothing where it has no samples. Labels are given as `labels` writes them."""
    lines = [f"{name}{labelled} {value}\n" for labelled, value in samples]
    return "".join((head(name, kind, text), *lines)) if lines else ""


def labels(**values: str) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in values.items()) + "}"

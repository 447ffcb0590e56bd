"""The wireguard-go that the Debian package brings, for kernels without WireGuard: the newest, by hash
(`deploy/wireguard-go`).

Debian's own is of 2022, and has a quarter of its throughput at three times the CPU or more. Where there is no Go to
build it with, the package is made without it, and says so; it works with the one on PATH then.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from vendor import BUILD, ROOT

SOURCE = ROOT / "deploy/wireguard-go"
_MODULE = "golang.zx2c4.com/wireguard"
# The same bytes of the same Go, wherever: no paths, no state of a repository, no id of the build, no symbols.
_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w -buildid=")


def daemon(architecture: str) -> Path | None:
    """It, for an architecture as Debian calls it, kept between builds; None where there is no Go."""
    if shutil.which("go") is None:
        sys.stderr.write("built without wireguard-go: there is no Go here\n")
        return None
    said = b"".join(path.read_bytes() for path in (SOURCE / "go.mod", SOURCE / "go.sum", Path(__file__)))
    go = subprocess.run(["go", "version"], capture_output=True, check=True, env=_environment(architecture)).stdout
    kept = BUILD / f"wireguard-go-{architecture}-{hashlib.sha256(said + go).hexdigest()[:16]}"
    if not kept.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_suffix(".new")
        command = ["go", "build", *_FLAGS, "-o", fresh, _MODULE]
        subprocess.run(command, cwd=SOURCE, env=_environment(architecture), check=True)
        fresh.rename(kept)
    return kept


def licences(architecture: str) -> dict[str, str]:
    """The licences of what it is made of: whoever passes it on passes them on."""
    template = "{{with .Module}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}"
    command = ["go", "list", "-mod=readonly", "-deps", "-f", template, _MODULE]
    done = subprocess.run(
        command, cwd=SOURCE, env=_environment(architecture), check=True, stdout=subprocess.PIPE, text=True
    )
    modules = dict(line.split("\t") for line in sorted(set(filter(None, done.stdout.splitlines()))))
    return {name: (Path(folder) / "LICENSE").read_text(encoding="utf-8") for name, folder in modules.items()}


def _environment(architecture: str) -> dict[str, str]:
    fixed = {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": architecture, "GOAMD64": "v1", "GOTOOLCHAIN": "local"}
    return {**os.environ, "GOFLAGS": "", "GOWORK": "off", "GOEXPERIMENT": "", **fixed}

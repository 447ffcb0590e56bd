"""The backend suite over the kernel's own WireGuard, in a VM with Debian's kernel where this machine has none."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_kernel_backend_passes_the_suite_of_all_backends() -> None:
    suite = [sys.executable, "-m", "pytest", "tests/contract/test_backend.py", "-k", "kernel", "-q"]
    command = [str(ROOT / "tests/tools/run-in-vm"), "-t", "400", *suite, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout

"""The wheel, as pip, pipx and uv tool take it: in a fresh environment, both commands work and find the migrations."""

import sys
from pathlib import Path

import pytest

from tests.packaging.built import ROOT, run, wheel

pytestmark = pytest.mark.slow


def test_a_fresh_environment_takes_the_wheel_and_both_commands_work(tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    bin_ = tmp_path / "venv/bin"
    run(bin_ / "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "requirements.txt")
    run(bin_ / "pip", "install", "--quiet", wheel())
    assert run(bin_ / "inn", "--version") == "inn 0.1.0\n"
    folders = ("--config-dir", tmp_path / "etc", "--data-dir", tmp_path / "lib", "--runtime-dir", tmp_path / "run")
    where = ("--external-endpoint", "192.0.2.1:51820", "--listen-port", "51820")
    run(bin_ / "innerd", "new", "--network-name", "kermpany", "--network-cidr", "10.42.0.0/16", *where, *folders)
    assert "10.42.0.1" in run(bin_ / "innerd", "list-peers", "kermpany", *folders)
    run(bin_ / "pip", "check")

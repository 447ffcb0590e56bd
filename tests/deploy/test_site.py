"""The documentation as a site: it builds without a warning, and the pages that come from the code are what the code
says."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS, SITE = ROOT / "docs", ROOT / "deploy/site"
WRITTEN: dict[str, str] = runpy.run_path(str(SITE / "generate.py"))["files"]()


@pytest.mark.parametrize("name", WRITTEN)
def test_what_comes_from_the_code_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == WRITTEN[name], "make docs writes it anew"


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    # Not --quiet: it keeps warnings from being counted, and --strict counts them.
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(SITE / "mkdocs.yml")]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run([*build, "-d", str(tmp_path)], capture_output=True, text=True, env=quiet, check=False)
    assert done.returncode == 0, done.stderr
    assert {page.stem for page in tmp_path.glob("*.html")} - {"404"} == {page.stem for page in DOCS.glob("*.md")}
    assert "auto|kernel|userspace" in (tmp_path / "cli.html").read_text(encoding="utf-8")
    assert "quickstart.html" in (tmp_path / "index.html").read_text(encoding="utf-8")

"""`make fuzz MINUTES=10 TARGETS="frames uapi"`: every target (or those) for its share of the time, two at a time.

What is found is left in `.fuzz/<target>/found` and said, with how it becomes a test. What reached new code is kept in
`.fuzz/<target>/corpus`, so that the next run goes on from there.
"""

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import targets
from tests.fuzz.http import NAME as HTTP

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".fuzz"
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None


def main() -> None:
    minutes, chosen = float(sys.argv[1]), sys.argv[2:] or [*targets.names(), HTTP]
    at_once = max(1, min(len(chosen), (os.cpu_count() or 2)))
    seconds = max(1, int(minutes * 60 * at_once / len(chosen)))
    guided = "guided by coverage" if HAS_ATHERIS else "by hypothesis: atheris has no wheel for this Python"
    print(f"{len(chosen)} targets, {seconds} s each, {at_once} at once, {guided}", flush=True)
    with ThreadPoolExecutor(at_once) as pool:
        found = [path for paths in pool.map(lambda name: hunt(name, seconds), chosen) for path in paths]
    print(f"{len(found)} found" if found else "nothing found")
    sys.exit(bool(found))


def hunt(name: str, seconds: int) -> list[Path]:
    """Run one target in a process of its own; what it found now."""
    folder = KEPT / name / "found"
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    how = "guided" if HAS_ATHERIS and name != HTTP else "unguided"
    command = [sys.executable, "-m", f"tests.fuzz.{how}", name, str(seconds), str(KEPT / name)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = sorted(set(folder.iterdir()) - before)
    print(f"{name}: {'nothing' if not found and not done.returncode else 'FOUND'}", flush=True)
    if found or done.returncode:
        print(done.stdout[-6000:], flush=True)
    for path in found:
        test = f"tests/fuzz/found/{name}"
        print(f"  make it a test: mkdir -p {test} && cp {path.relative_to(ROOT)} {test}/what-is-wrong", flush=True)
    return found or [folder] * bool(done.returncode)


if __name__ == "__main__":
    main()

"""What the runtime consists of, as CycloneDX 1.6 JSON: `make sbom`, or `python deploy/sbom.py [FILE]`.

Made from requirements.txt and pyproject.toml alone, with no network and no clock: the same lock makes the same bytes. A
component's hashes are those of every file that the lock allows for it.
"""

import json
import re
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PIN = re.compile(r"^([a-z0-9-]+)==([^\s;\\]+)(?: ; ([^\\\n]+?))?((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$", re.M)


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist/innerd.cdx.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(bill(), indent=2) + "\n", encoding="utf-8")
    print(out)  # noqa: T201 - as make deb says what it made


def bill() -> dict[str, Any]:
    """The whole document."""
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [_component(*pin) for pin in _PIN.findall(lock)]
    ours = _reference(project["name"], project["version"])
    wanted = {re.split(r"[^A-Za-z0-9._-]", text)[0].lower() for text in project["dependencies"]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, lock + ours)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": project["name"],
                "version": project["version"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": ours,
            }
        },
        "components": parts,
        # What those need in turn the lock does not say, and what is left out here is taken as unknown.
        "dependencies": [{"ref": ours, "dependsOn": [part["bom-ref"] for part in parts if part["name"] in wanted]}],
    }


def _component(name: str, version: str, marker: str, hashes: str) -> dict[str, Any]:
    digests = sorted(re.findall(r"sha256:([0-9a-f]{64})", hashes))
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(name, version),
        "name": name,
        "version": version,
        "purl": _reference(name, version),
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in digests],
    }
    return made | ({"properties": [{"name": "innerd:marker", "value": marker}]} if marker else {})


def _reference(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


if __name__ == "__main__":
    main()

"""Copies what the demo's GraphiQL page ships from the packages of tests/clients/node's lock.

usage: vendor.py [--check]

The files are unmodified. LICENSES.txt has the licence of each package that is in them. Run it
after a change of the lock, with npm at hand; --check only compares, and names what differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from node_project import installed  # noqa: E402

TARGET = ROOT / "python" / "fraiseql_subscriptions" / "demo" / "web" / "vendor"
FILES = {
    "graphiql": ("graphiql.min.css", "graphiql.min.js"),
    "graphql-ws": ("umd/graphql-ws.min.js",),
    "react": ("umd/react.production.min.js",),
    "react-dom": ("umd/react-dom.production.min.js",),
}
#: Packages that the files hold beside those and what they depend on.
ALSO = ("graphql",)
HEAD = """\
The files in this folder are the ones of these npm packages, unmodified:

{files}

They hold the packages below, or parts of them, and graphiql.min.css the fonts Roboto (Apache
License 2.0) and Fira Code (SIL Open Font License 1.1), whose notices are in the fonts themselves.
"""


def folder_of(name: str, package: Path, modules: Path) -> Path | None:
    """Where `package` finds another by name, as Node looks for it."""
    while package != modules.parent:
        found = package / "node_modules" / name
        if found.is_dir():
            return found
        package = package.parent
    found = modules / name
    return found if found.is_dir() else None


def packages(folder: Path, modules: Path, seen: dict[Path, dict[str, Any]]) -> None:
    """Put a package and all that it depends on into `seen`. Types are in no file."""
    if folder in seen:
        return
    manifest = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    seen[folder] = manifest
    for name in manifest.get("dependencies", {}):
        found = folder_of(name, folder, modules)
        if found is not None and not name.startswith("@types/"):
            packages(found, modules, seen)


def licence_of(folder: Path, manifest: dict[str, Any]) -> str:
    for file in sorted(folder.iterdir()):
        if file.name.lower().startswith(("license", "licence", "copying")):
            return file.read_text(encoding="utf-8").strip()
    return f"{manifest['license']} (the package has no text of its own)"


def licences(modules: Path) -> str:
    seen: dict[Path, dict[str, Any]] = {}
    for name in (*FILES, *ALSO):
        packages(modules / name, modules, seen)
    by_text: dict[str, list[str]] = {}
    for folder, manifest in seen.items():
        name = f"{manifest['name']} {manifest['version']}"
        by_text.setdefault(licence_of(folder, manifest), []).append(name)
    files = "\n".join(
        f"  {Path(file).name}: {name} {seen[modules / name]['version']}"
        for name, paths in FILES.items()
        for file in paths
    )
    sections = [
        f"{', '.join(sorted(names))}\n\n{text}\n"
        for text, names in sorted(by_text.items(), key=lambda item: sorted(item[1]))
    ]
    rule = "\n" + "-" * 80 + "\n\n"
    return rule.join([HEAD.format(files=files), *sections])


def wanted(modules: Path) -> Iterator[tuple[str, bytes]]:
    """The folder's files as they should be."""
    for name, paths in FILES.items():
        for path in paths:
            yield Path(path).name, (modules / name / path).read_bytes()
    yield "LICENSES.txt", licences(modules).encode()


def main() -> int:
    contents = dict(wanted(installed() / "node_modules"))
    present = {file.name: file for file in TARGET.iterdir()} if TARGET.is_dir() else {}
    differing = sorted(
        name
        for name in contents.keys() | present.keys()
        if name not in contents
        or name not in present
        or present[name].read_bytes() != contents[name]
    )
    if "--check" in sys.argv[1:]:
        if differing:
            sys.stderr.write(f"not as the lock says: {', '.join(differing)}; run make vendor\n")
        return 1 if differing else 0
    TARGET.mkdir(exist_ok=True)
    for name in differing:
        if name in contents:
            (TARGET / name).write_bytes(contents[name])
        else:
            present[name].unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())

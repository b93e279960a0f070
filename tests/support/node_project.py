"""The Node project of tests/clients/node: installed where git does not look, its scripts run."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

from client_server import PATIENCE

__all__ = ["NODE_PROJECT", "Script", "installed"]

_ROOT: Final = Path(__file__).resolve().parents[2]
#: The scripts and the lock.
NODE_PROJECT: Final = _ROOT / "tests" / "clients" / "node"
_INSTALLED: Final = _ROOT / "build" / "clients"
#: npm writes it last.
_MARK: Final = _INSTALLED / "node_modules" / ".package-lock.json"


def installed() -> Path:
    """The folder with the project as its lock says; `npm ci` runs when that has changed."""
    lock = (NODE_PROJECT / "package-lock.json").read_text(encoding="utf-8")
    kept = _INSTALLED / "package-lock.json"
    _INSTALLED.mkdir(parents=True, exist_ok=True)
    current = _MARK.exists() and kept.exists() and kept.read_text(encoding="utf-8") == lock
    if not current:
        kept.unlink(missing_ok=True)
        manifest = json.loads((NODE_PROJECT / "package.json").read_text(encoding="utf-8"))
        (_INSTALLED / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
        # Under its own name only once everything is there.
        (_INSTALLED / "npm-shrinkwrap.json").write_text(lock, encoding="utf-8")
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            command, cwd=_INSTALLED, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (_INSTALLED / "npm-shrinkwrap.json").rename(kept)
    for script in NODE_PROJECT.glob("*.mjs"):
        shutil.copy2(script, _INSTALLED)
    return _INSTALLED


class Script:
    """A script that runs: one JSON object a line in both directions."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["node", name, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._heard: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard.put(line)
        self._heard.put("")

    def tell(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """The next line. A script that ended or is silent fails, with what it wrote to stderr."""
        try:
            line = self._heard.get(timeout=PATIENCE + 5)  # after the script's own patience
        except queue.Empty:
            line = ""
        assert line, f"the script says nothing: {self.close()}"
        return json.loads(line)

    def end(self) -> list[Any]:
        """End its stdin and wait until it has gone by itself; what it still had to say."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            status = -1
        errors = self.close()
        assert status == 0, f"it left something open, or failed: {errors}"
        assert errors == ""
        left = []
        while line := self._heard.get_nowait():
            left.append(json.loads(line))
        return left

    def close(self) -> str:
        """Kill it if it runs; what it wrote to stderr, told once."""
        self._process.kill()
        self._process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        errors = ""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            if stream is self._process.stderr and not stream.closed:
                errors = stream.read()
            stream.close()
        return errors

"""A headless Chromium that a test drives line by line (tests/clients/node/browser.mjs)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from client_server import PATIENCE
from node_project import Script

__all__ = ["Browser"]


class Browser:
    """A page in Chromium, driven line by line."""

    def __init__(self, folder: Path) -> None:
        options = {"chromium": shutil.which("chromium"), "patience": PATIENCE}
        self._script = Script(folder, "browser.mjs", "", json.dumps(options))

    def do(self, **order: Any) -> Any:
        self._script.tell(**order)
        return self._script.hear()["answer"]

    def end(self) -> list[str]:
        """Close it; what went wrong in its pages."""
        (last,) = self._script.end()
        problems: list[str] = last["problems"]
        return problems

    def close(self) -> None:
        self._script.close()

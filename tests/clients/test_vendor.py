"""What the package ships of others is, byte for byte, what the lock names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_files_are_those_of_the_locked_packages(node_folder: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "vendor.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

"""The floor of draining: the same list of (id, bytes) tuples made from one buffer."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

__all__ = ["c_floor", "python_floor"]

SOURCE = Path(__file__).with_suffix(".c")


def c_floor(sample: list[tuple[str, bytes]], events: int) -> Callable[[], tuple[float, float]]:
    """Tuples a second, made in C: as many a list as `sample` has, each like its first."""
    fill = _compiled()
    name, message = sample[0][0].encode(), sample[0][1]

    def run() -> tuple[float, float]:
        begin = perf_counter()
        for _ in range(events):
            out: list[tuple[str, bytes]] = []
            if fill(out, name, len(name), message, len(message), len(sample)):
                raise MemoryError
        rate = events * len(sample) / (perf_counter() - begin)
        return rate, rate

    return run


def python_floor(sample: list[tuple[str, bytes]], events: int) -> Callable[[], tuple[float, float]]:
    """The same made in Python, from a memoryview and names that are there already."""
    names = [name for name, _ in sample]
    width = len(sample[0][1])
    view = memoryview(sample[0][1] * len(sample))

    def run() -> tuple[float, float]:
        begin = perf_counter()
        for _ in range(events):
            [
                (name, bytes(view[at : at + width]))
                for name, at in zip(names, range(0, len(view), width), strict=True)
            ]
        rate = events * len(sample) / (perf_counter() - begin)
        return rate, rate

    return run


def _compiled() -> Callable[..., Any]:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    include = sysconfig.get_path("include")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "floor.so"
        options = ["-O2", "-shared", "-fPIC"]
        if sys.platform == "darwin":
            options += ["-undefined", "dynamic_lookup"]
        subprocess.run(
            [*compiler, *options, f"-I{include}", str(SOURCE), "-o", str(library)], check=True
        )
        # Loaded before the folder goes; the mapping stays.
        fill = ctypes.PyDLL(str(library)).floor_drain
    size = ctypes.c_ssize_t
    fill.argtypes = [ctypes.py_object, ctypes.c_char_p, size, ctypes.c_char_p, size, size]
    fill.restype = ctypes.c_int
    return fill

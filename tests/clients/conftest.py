"""What the tests with real clients share: their server, and the Node project."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from client_server import ClientServer
from node_project import Script, installed


@pytest.fixture(scope="session")
def node_folder() -> Path:
    return installed()


@pytest.fixture
def serve() -> Iterator[Callable[..., ClientServer]]:
    """Start servers with options; they are stopped at the end, and must not have complained."""
    started: list[ClientServer] = []

    def start(**options: Any) -> ClientServer:
        server = ClientServer(**options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture
def run(node_folder: Path) -> Iterator[Callable[..., Script]]:
    """Run a script against a server; those still running at the end are killed."""
    running: list[Script] = []

    def start(name: str, server: ClientServer, **options: Any) -> Script:
        script = Script(node_folder, name, server.url, json.dumps(options))
        running.append(script)
        return script

    yield start
    for script in running:
        script.close()


@pytest.fixture
def browser(node_folder: Path) -> Iterator[Browser]:
    started = Browser(node_folder)
    yield started
    started.close()

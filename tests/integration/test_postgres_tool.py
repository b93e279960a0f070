"""The command that installs, describes and removes the schema, against a real PostgreSQL."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from postgres_server import PostgresServer, free_port, run_server

from fraiseql_subscriptions.__main__ import main

TIMEOUT = 60
VERSION = 2
INSTALLED = f"installed version {VERSION}\n"
THERE = f"version {VERSION} was already installed\n"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with run_server() as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> str:
    return server.new_database()


class Tool:
    """The command in this process: exit status, and what it wrote."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._capture.readouterr()
        status = main(["postgres", *arguments])
        written = self._capture.readouterr()
        return status, written.out, written.err

    def works(self, *arguments: str) -> str:
        status, out, err = self(*arguments)
        assert (status, err) == (0, "")
        return out

    def fails(self, *arguments: str, kind: str) -> str:
        """What it says; nothing else was written, and the status fits the kind."""
        status, out, err = self(*arguments)
        name, _, sentence = err.partition(": ")
        assert (name, out) == (kind, ""), err
        assert status == (2 if kind == "ValueError" else 1)
        assert err.count("\n") == 1
        assert "hunter2" not in err
        return sentence


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return Tool(capsys)


def schemas(server: PostgresServer, database: str) -> str:
    return server.sql(
        database, "SELECT nspname FROM pg_namespace WHERE nspname = 'fraiseql_subscriptions'"
    )


def described(server: PostgresServer, database: str) -> list[str]:
    """Everything about the schema but its data, as pg_dump says it."""
    text = server.program(
        "pg_dump", "--schema-only", "--schema=fraiseql_subscriptions", server.url(database)
    )
    return [line for line in text.splitlines() if not line.startswith(("\\", "--"))]


# --- install ---------------------------------------------------------------------------------


def test_install_makes_a_schema_that_publishes(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    assert tool.works("install", server.url(database)) == INSTALLED
    position = server.sql(
        database,
        """SELECT fraiseql_subscriptions.publish('orders', 'orderCreated', '{"id": 1}')""",
    )
    epoch = server.sql(database, "SELECT epoch FROM fraiseql_subscriptions.settings")
    assert position == f"{epoch}:1"
    rows = "SELECT channel, event_type, data FROM fraiseql_subscriptions.outbox"
    assert server.sql(database, rows) == 'orders|orderCreated|{"id": 1}'


def test_install_again_changes_nothing(server: PostgresServer, database: str, tool: Tool) -> None:
    url = server.url(database)
    tool.works("install", url, "--prefix", "shop", "--retention", "60")
    server.sql(database, "SELECT fraiseql_subscriptions.publish('a', 'b', '{}')")
    everything = (
        "SELECT * FROM fraiseql_subscriptions.settings; SELECT * FROM fraiseql_subscriptions.outbox"
    )
    before = server.sql(database, everything), described(server, database)
    assert tool.works("install", url) == THERE
    assert (server.sql(database, everything), described(server, database)) == before


def test_install_finds_the_database_by_the_environment(
    server: PostgresServer, database: str, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.url(database))
    assert tool.works("install") == INSTALLED
    assert json.loads(tool.works("status"))["installed"] == VERSION
    assert tool.works("uninstall") == "removed\n"


def test_installations_at_once_make_one_schema(server: PostgresServer, database: str) -> None:
    command = (sys.executable, "-m", "fraiseql_subscriptions", "postgres", "install")
    running = [
        subprocess.Popen([*command, server.url(database)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = sorted(one.communicate(timeout=TIMEOUT)[0] for one in running)
    assert said == [INSTALLED, *[THERE] * 2]


def test_install_sets_options(server: PostgresServer, database: str, tool: Tool) -> None:
    tool.works("install", server.url(database), "--prefix", "shop", "--retention", "90.5")
    settings = "SELECT prefix, extract(epoch FROM retention) FROM fraiseql_subscriptions.settings"
    assert server.sql(database, settings) == "shop|90.500000"


@pytest.mark.parametrize("prefix", ["", "1a", "Shop", "a-b", "a'b", "a" * 21, "é"])
def test_a_prefix_that_is_none_is_refused(
    server: PostgresServer, database: str, tool: Tool, prefix: str
) -> None:
    said = tool.fails("install", server.url(database), "--prefix", prefix, kind="ValueError")
    assert f'prefix "{prefix}"' in said
    assert "a-z" in said
    assert schemas(server, database) == ""


@pytest.mark.parametrize("retention", ["0", "-1", "1e300"])
def test_a_retention_that_is_none_is_refused(
    server: PostgresServer, database: str, tool: Tool, retention: str
) -> None:
    said = tool.fails(
        "install", server.url(database), f"--retention={retention}", kind="ValueError"
    )
    assert "seconds" in said
    assert schemas(server, database) == ""


@pytest.mark.parametrize("retention", ["nan", "inf", "soon"])
def test_a_retention_that_is_no_number_is_a_wrong_call(
    capsys: pytest.CaptureFixture[str], retention: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["postgres", "install", "--retention", retention, "postgresql://x"])
    assert ended.value.code == 2
    assert retention in capsys.readouterr().err


def test_install_gives_roles_their_rights(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    server.sql(database, 'CREATE ROLE "Tom\'s; ""x" LOGIN; CREATE ROLE looker LOGIN')
    try:
        tool.works(
            "install", server.url(database), "--publisher", "Tom's; \"x", "--reader", "looker"
        )
        server.sql(
            database,
            """SET ROLE "Tom's; ""x"; SELECT fraiseql_subscriptions.publish('a', 'b', '{}')""",
        )
        assert json.loads(tool.works("status", server.url(database, "looker")))["events"] == 1
    finally:
        tool.works("uninstall", server.url(database))
        server.sql(database, 'DROP ROLE "Tom\'s; ""x"; DROP ROLE looker')


def test_a_role_that_does_not_exist_leaves_nothing_installed(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    said = tool.fails("install", server.url(database), "--reader", "ghost", kind="ValueError")
    assert 'no role "ghost"' in said
    assert "create it first" in said
    assert schemas(server, database) == ""


def test_ctrl_c_ends_a_command_that_waits_for_the_database(
    server: PostgresServer, database: str, until: Callable[..., None]
) -> None:
    holder = server.session(database)
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write("SELECT 'held' FROM pg_advisory_lock(1718579573, 0);\n")
    assert holder.stdout.readline() == "held\n"
    command = (sys.executable, "-m", "fraiseql_subscriptions", "postgres", "install")
    tool = subprocess.Popen([*command, server.url(database)], restore_signals=True)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    until(lambda: server.sql(database, waiting) == "1", "the command's wait")
    tool.send_signal(signal.SIGINT)
    assert tool.wait(TIMEOUT) in (-signal.SIGINT, 130)
    holder.communicate("SELECT pg_advisory_unlock_all();\n", timeout=TIMEOUT)
    until(lambda: server.sql(database, waiting) == "0", "the end of the command's session")
    assert schemas(server, database) == ""


# --- --print-sql -----------------------------------------------------------------------------


def test_printed_sql_makes_what_install_makes(server: PostgresServer, tool: Tool) -> None:
    printed, installed = server.new_database(), server.new_database()
    server.sql(printed, tool.works("install", "--print-sql"))
    tool.works("install", server.url(installed))
    assert described(server, printed) == described(server, installed)
    rows = "SELECT max(version), count(*) FROM fraiseql_subscriptions.migration"
    assert server.sql(printed, rows) == server.sql(installed, rows) == f"{VERSION}|{VERSION}"
    assert tool.works("install", server.url(printed)) == THERE


def test_printed_sql_refuses_a_second_time_and_changes_nothing(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    sql = tool.works("install", "--print-sql")
    server.sql(database, sql)
    before = described(server, database)
    with pytest.raises(AssertionError, match="already exists"):
        server.sql(database, sql)
    assert described(server, database) == before


@pytest.mark.parametrize(
    "options", [("--prefix", "a"), ("--retention", "9"), ("--reader", "a"), ("postgresql://x",)]
)
def test_printed_sql_takes_no_options(tool: Tool, options: tuple[str, ...]) -> None:
    said = tool.fails("install", "--print-sql", *options, kind="ValueError")
    assert "fraiseql_subscriptions.settings" in said
    assert "allow_publishing" in said


# --- status ----------------------------------------------------------------------------------


def status(server: PostgresServer, database: str, tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tool.works("status", server.url(database)))
    return found


def test_status_of_a_database_without_the_schema(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    found = status(server, database, tool)
    assert (found["installed"], found["wanted"], found["events"]) == (0, VERSION, 0)
    assert re.match(r"\d+", found["server"])


def test_status_describes_an_installation(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    tool.works("install", server.url(database))
    server.sql(
        database,
        """CREATE TABLE "My orders" (id int);
        SELECT fraiseql_subscriptions.watch('"My orders"', 'orders');
        INSERT INTO "My orders" VALUES (1), (2)""",
    )
    found = status(server, database, tool)
    assert (found["installed"], found["prefix"], found["retention"]) == (VERSION, "fraiseql", 3600)
    assert (found["events"], found["newest"], found["final"], found["floor"]) == (2, 2, 2, 0)
    assert (found["holder"], found["queue"], found["watched"]) == (None, 0, ['"My orders"'])
    assert found["bytes"] > 0
    assert len(found["epoch"]) == 10


def test_status_names_the_session_that_holds_delivery_back(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    tool.works("install", server.url(database))
    holder = server.session(database)
    assert holder.stdin is not None
    assert holder.stdout is not None
    publish = "SELECT fraiseql_subscriptions.publish('a', 'b', '{}')"
    holder.stdin.write(f"BEGIN; {publish}; SELECT pg_backend_pid();\n")
    holder.stdout.readline()
    pid = int(holder.stdout.readline())
    server.sql(database, publish)
    found = status(server, database, tool)
    assert (found["events"], found["newest"], found["final"], found["holder"]) == (1, 2, 0, pid)
    holder.communicate("COMMIT;\n", timeout=TIMEOUT)
    found = status(server, database, tool)
    assert (found["events"], found["final"], found["holder"]) == (2, 2, None)


# --- uninstall -------------------------------------------------------------------------------


def test_uninstall_leaves_nothing(server: PostgresServer, database: str, tool: Tool) -> None:
    url = server.url(database)
    tool.works("install", url)
    assert tool.works("uninstall", url) == "removed\n"
    assert schemas(server, database) == ""
    assert tool.works("uninstall", url) == "there was nothing to remove\n"
    assert tool.works("install", url) == INSTALLED


def test_uninstall_takes_triggers_of_the_application_only_when_told(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    url = server.url(database)
    tool.works("install", url)
    server.sql(database, "CREATE TABLE t (id int); SELECT fraiseql_subscriptions.watch('t')")
    said = tool.fails("uninstall", url, kind="ValueError")
    assert "triggers on t " in said
    assert "unwatch" in said
    assert "--cascade" in said
    assert schemas(server, database) == "fraiseql_subscriptions"
    assert tool.works("uninstall", "--cascade", url) == "removed\n"
    server.sql(database, "INSERT INTO t VALUES (1)")


# --- Rights ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(server: PostgresServer) -> str:
    server.sql("postgres", "CREATE ROLE stranger LOGIN")
    return "stranger"


def test_install_without_the_right_says_who_has_it(
    server: PostgresServer, database: str, tool: Tool, stranger: str
) -> None:
    said = tool.fails("install", server.url(database, stranger), kind="BusError")
    assert "42501" in said
    assert "CREATE on this database" in said
    assert schemas(server, database) == ""


def test_a_role_with_create_can_install(
    server: PostgresServer, database: str, tool: Tool, stranger: str
) -> None:
    server.sql(database, f"GRANT CREATE ON DATABASE {database} TO {stranger}")
    assert tool.works("install", server.url(database, stranger)) == INSTALLED


def test_status_and_uninstall_without_the_right_say_who_has_it(
    server: PostgresServer, database: str, tool: Tool, stranger: str
) -> None:
    tool.works("install", server.url(database))
    theirs = server.url(database, stranger)
    assert "--reader" in tool.fails("status", theirs, kind="BusError")
    assert "owner" in tool.fails("uninstall", theirs, kind="BusError")
    assert "owner" in tool.fails("install", theirs, kind="BusError")
    assert schemas(server, database) == "fraiseql_subscriptions"


# --- Where there is no database --------------------------------------------------------------


@pytest.mark.parametrize("action", ["install", "uninstall", "status"])
@pytest.mark.parametrize("url", [None, ""])
def test_no_url(tool: Tool, action: str, url: str | None) -> None:
    said = tool.fails(action, *([] if url is None else [url]), kind="ValueError")
    assert "DATABASE_URL" in said


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "redis://user:hunter2@localhost/0",
        "http://localhost/?password=hunter2",
        "host=localhost password=hunter2",
        "postgresql://user:hunter2/x@localhost/db",
        "postgresql://localhost:port/db?password=hunter2",
        "postgresql://user:hunter2@localhost/db?sslmode=maybe",
        "postgresql://[::1/hunter2",
    ],
)
def test_a_wrong_url_is_refused_without_its_password(tool: Tool, url: str) -> None:
    assert "postgresql://user@host" in tool.fails("status", url, kind="ValueError")


def test_nobody_listens(tool: Tool) -> None:
    port = free_port()
    url = f"postgresql://user:hunter2@127.0.0.1:{port}/db"
    for action in ("install", "uninstall", "status"):
        said = tool.fails(action, url, kind="BusUnavailable")
        assert f"127.0.0.1 port {port}" in said
        assert "is it running" in said
        assert "refused" in said


def test_a_server_that_never_answers_is_given_up(tool: Tool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://user:hunter2@127.0.0.1:{port}/db?connect_timeout=1&sslmode=disable"
        assert "within 1s" in tool.fails("status", url, kind="BusUnavailable")


def test_a_server_without_tls_is_told_from_one_that_is_down(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    url = server.url(database).replace("sslmode=disable", "sslmode=require")
    assert "TLS" in tool.fails("status", url, kind="BusUnavailable")


def test_a_database_that_does_not_exist(server: PostgresServer, tool: Tool) -> None:
    said = tool.fails("install", server.url("nowhere"), kind="BusError")
    assert "nowhere" in said
    assert "create the database first" in said


def test_a_password_is_checked_and_never_shown(
    server: PostgresServer, database: str, tool: Tool
) -> None:
    server.sql(database, "CREATE ROLE secret LOGIN PASSWORD 'correct'")
    assert json.loads(tool.works("status", server.url(database, "secret:correct")))
    said = tool.fails("status", server.url(database, "secret:hunter2"), kind="BusError")
    assert "password authentication failed" in said
    assert "user and password" in said

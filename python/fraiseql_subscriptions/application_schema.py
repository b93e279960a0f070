"""A schema whose queries and mutations are asked of its application, over HTTP within the process.

An application may do more for them than graphql-core does: FraiseQL answers queries past it, and
decides on introspection and authentication at its endpoint. Subscriptions run on the schema.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from .encode import decode_exact, encode
from .execution import ExecutableSchema, QueryRefused

if TYPE_CHECKING:
    from types import ModuleType

    from graphql import GraphQLSchema
    from starlette.requests import HTTPConnection

    from .asgi import Scope
    from .operation import Request

__all__ = ["CONNECTION", "ApplicationSchema"]

#: The key under which resolvers find the client's connection in their context.
CONNECTION: Final = "connection"
#: What a WebSocket's request says of the WebSocket, and what is said anew.
_OWN_HEADERS: Final = frozenset(
    [b"connection", b"upgrade", b"accept", b"authorization", b"content-length", b"content-type"]
)


class ApplicationSchema(ExecutableSchema):
    """A graphql-core schema and the ASGI application that serves it at `path`.

    The context of operations is a mapping that has the connection under `CONNECTION`;
    `authorization` says what a request for that is to have in its header.
    """

    def __init__(
        self,
        library: ModuleType,
        schema: GraphQLSchema,
        context_getter: Callable[..., Any],
        app: Callable[..., Any],
        path: str,
        authorization: Callable[[HTTPConnection], str],
    ) -> None:
        super().__init__(library, schema, context_getter, None)
        self._app = app
        self._path = path
        self._authorization = authorization

    async def execute(self, request: Request, context: Any) -> Any:
        connection: HTTPConnection = context[CONNECTION]
        asked = {
            "query": request.query,
            "variables": request.variables,
            "operationName": request.operation_name,
        }
        status, body = await self._ask(self._scope(connection), encode(asked))
        try:
            told = decode_exact(body)
        except ValueError:
            told = None
        if not isinstance(told, dict) or not ("data" in told or "errors" in told):
            detail = told.get("detail") if isinstance(told, dict) else None
            raise QueryRefused([_Problem({"message": str(detail or f"HTTP status {status}")})])
        errors = [_Problem(one) for one in told.get("errors") or ()]
        if told.get("data") is None and errors and not any("path" in e.formatted for e in errors):
            raise QueryRefused(errors)
        return SimpleNamespace(
            data=told.get("data"), errors=errors, extensions=told.get("extensions")
        )

    def _scope(self, connection: HTTPConnection) -> Scope:
        """A request of the client's that has opened the connection."""
        headers = [
            (name, value)
            for name, value in connection.scope["headers"]
            if name not in _OWN_HEADERS and not name.startswith(b"sec-websocket-")
        ]
        headers += [(b"accept", b"application/json"), (b"content-type", b"application/json")]
        authorization = self._authorization(connection)
        if authorization:
            headers.append((b"authorization", authorization.encode("latin-1", "replace")))
        return {
            "type": "http",
            "asgi": connection.scope.get("asgi", {"version": "3.0"}),
            "http_version": "1.1",
            "method": "POST",
            "scheme": {"wss": "https", "ws": "http"}.get(
                connection.scope.get("scheme", ""), "http"
            ),
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": connection.scope.get("client"),
            "server": connection.scope.get("server"),
            "state": connection.scope.get("state", {}),
        }

    async def _ask(self, scope: Scope, body: bytes) -> tuple[int, bytes]:
        """The status and body of the application's response."""
        scope["headers"].append((b"content-length", str(len(body)).encode()))
        status = 0
        parts: list[bytes] = []
        sent = False

        async def receive() -> MutableMapping[str, Any]:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return status, b"".join(parts)


class _Problem:
    """An error of the application's response, as GraphQL errors look to transports."""

    def __init__(self, formatted: dict[str, Any]) -> None:
        self.formatted = formatted
        self.message = str(formatted.get("message", ""))

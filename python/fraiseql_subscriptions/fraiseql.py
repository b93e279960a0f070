"""Subscriptions in a FraiseQL application, which has a schema for them and no way in.

`attach` gives it one. The application's generators run unchanged, with the context that FraiseQL
gives its queries; who a client is is decided as FraiseQL decides it for HTTP.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import inspect
import secrets
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException

from .application_schema import CONNECTION, ApplicationSchema
from .errors import AuthorizationError
from .executor import SubscriptionExecutor
from .security import SecurityContext, SecurityPolicy
from .starlette import PATH, add_subscription_routes

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import HTTPConnection

__all__ = ["attach"]

#: Where ``create_fraiseql_app`` serves queries and mutations.
_GRAPHQL: Final = "/graphql"
#: Where a connection's user and its Authorization are kept, in its scope.
_USER: Final = "fraiseql_subscriptions.user"
_AUTHORIZATION: Final = "fraiseql_subscriptions.authorization"


def attach(
    app: FastAPI,
    executor: SubscriptionExecutor | None = None,
    *,
    path: str = PATH,
    schema: object = None,
    on_connect: Callable[..., Any] | None = None,
    context_getter: Callable[..., Any] | None = None,
    close_executor: bool = True,
    **options: Any,
) -> SubscriptionExecutor:
    """Serve the subscriptions of an application that ``create_fraiseql_app`` made; its executor.

    Functions decorated with ``@fraiseql.subscription`` answer their fields, and publish and listen
    through `executor`; queries and mutations go to the application's own endpoint. Without an
    executor there is a new one on ``memory://``, whose events reach all users of their tenant
    unless they name a ``user_id``; to one that is given its own policy applies. `schema` is the
    application's own unless given.

    `context_getter` is the one that was given to ``create_fraiseql_app``. It is called with the
    connection (Starlette's HTTPConnection), and the user where it takes two arguments, for each
    subscription; what it returns joins FraiseQL's own context, which has ``connection``, too.

    Without an `on_connect` a client is the user whose token its ``connection_init`` payload or its
    request has under ``Authorization``, according to the application's auth provider, and of the
    tenant that the context or the user's metadata has as ``tenant_id``. Where FraiseQL requires
    authentication, or its development authentication is on, others are refused.

    `close_executor` and `options` are those of `add_subscription_routes`. Raises ImportError
    without FraiseQL, ValueError for an application that has no subscriptions, and for an executor
    without a schema that has been used already.
    """
    # Its modules are taken where they are needed: this one can be imported without FraiseQL.
    dependencies = import_module("fraiseql.fastapi.dependencies")
    if executor is None:
        executor = SubscriptionExecutor(security=SecurityPolicy(row="if_present"))
    elif not isinstance(executor, SubscriptionExecutor):
        raise TypeError(f"executor must be a SubscriptionExecutor, not {type(executor).__name__}")
    graphql = import_module("graphql")
    found: Any = _own_schema() if schema is None else schema
    if not isinstance(found, graphql.GraphQLSchema):
        raise TypeError(f"schema must be a GraphQLSchema, not {type(found).__name__}")
    if found.subscription_type is None:
        raise ValueError(
            "the application has no subscriptions; decorate them with @fraiseql.subscription, "
            "and attach after their modules were imported"
        )
    entrance = _Entrance(app, dependencies, context_getter)
    add_subscription_routes(
        app,
        executor,
        path,
        close_executor=close_executor,
        schema=ApplicationSchema(
            graphql, found, entrance.context, app, _GRAPHQL, entrance.authorization
        ),
        on_connect=entrance.admit if on_connect is None else on_connect,
        **options,
    )
    return executor


def _own_schema() -> Any:
    """The schema of all that FraiseQL's decorators have registered, in the application's case."""
    builder = import_module("fraiseql.gql.schema_builder")
    return builder.SchemaRegistry.get_instance().build_schema()


class _Entrance:
    """Who clients are and what their operations know, as FraiseQL has it for HTTP."""

    def __init__(
        self, app: FastAPI, dependencies: Any, context_getter: Callable[..., Any] | None
    ) -> None:
        self._app = app
        self._fraiseql = dependencies
        self._context_getter = context_getter
        takes = () if context_getter is None else inspect.signature(context_getter).parameters
        self._wants_user = len(takes) >= 2

    async def admit(self, params: dict[str, Any], connection: HTTPConnection) -> SecurityContext:
        """`on_connect` for applications that have none. Raises AuthorizationError."""
        for name, value in params.items():  # browsers cannot send the header with a WebSocket
            if name.lower() == "authorization" and isinstance(value, str):
                connection.scope[_AUTHORIZATION] = value
        scheme, token = self._credentials(connection)
        self._check_developer(scheme, token)
        user = await self._user(scheme, token)
        config = self._fraiseql.get_fraiseql_config()
        required = getattr(config, "auth_enabled", False) and self._fraiseql.get_auth_provider()
        if user is None and required:
            raise AuthorizationError("Authentication required")
        connection.scope[_USER] = user
        try:
            context = await self.context(connection)
        except HTTPException as refusal:  # how FastAPI's dependencies say no
            raise AuthorizationError(str(refusal.detail)) from refusal
        tenant = context.get("tenant_id")
        if user is None:
            return SecurityContext(tenant_id=tenant)
        if tenant is None:
            tenant = (getattr(user, "metadata", None) or {}).get("tenant_id")
        return SecurityContext(user_id=user.user_id, tenant_id=tenant, roles=user.roles or ())

    async def context(self, connection: HTTPConnection) -> dict[str, Any]:
        """The GraphQL context of one operation."""
        if _USER not in connection.scope:  # there is an on_connect of the application's own
            connection.scope[_USER] = await self._user(*self._credentials(connection))
        user = connection.scope[_USER]
        context: dict[str, Any] = await self._fraiseql.build_graphql_context(
            db=await self._fraiseql.get_db(), user=user
        )
        context[CONNECTION] = connection
        if self._context_getter is None:
            return context
        given = (connection, user) if self._wants_user else (connection,)
        custom = self._context_getter(*given)
        custom = await custom if inspect.isawaitable(custom) else custom
        return {**context, **custom}

    def authorization(self, connection: HTTPConnection) -> str:
        """What the client has told of itself, as the header has it; "" for nothing."""
        found: str = connection.scope.get(
            _AUTHORIZATION, connection.headers.get("authorization", "")
        )
        return found

    def _credentials(self, connection: HTTPConnection) -> tuple[str, str]:
        """The scheme in lower case, and what follows it."""
        scheme, _, rest = self.authorization(connection).partition(" ")
        return scheme.lower(), rest.strip()

    async def _user(self, scheme: str, token: str) -> Any:
        """The user that a token stands for, None for nobody."""
        known = token if scheme == "bearer" else None
        return await self._fraiseql.get_current_user_optional(known)

    def _check_developer(self, scheme: str, token: str) -> None:
        """Ask for the password of FraiseQL's development authentication, which guards HTTP only."""
        for middleware in self._app.user_middleware:
            if getattr(middleware.cls, "__name__", "") != "DevAuthMiddleware":
                continue
            expected = f"{middleware.kwargs['username']}:{middleware.kwargs['password']}"
            given = b""
            if scheme == "basic":
                with contextlib.suppress(binascii.Error, ValueError):
                    given = base64.b64decode(token, validate=True)
            if not secrets.compare_digest(given, expected.encode()):
                raise AuthorizationError("Authentication required")

"""`SubscriptionManager`: an executor under the names that FraiseQL's plans gave it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

from .adapter import GraphQLTransportWSHandler
from .asgi import GraphQLSubscriptions
from .compat import PyEventBusConfig
from .config import EventBusConfig
from .errors import AuthorizationError, SubscriptionNotFound
from .executor import SubscriptionExecutor
from .security import SecurityContext

if TYPE_CHECKING:
    from .adapter import SubscriptionProtocolHandler, WebSocketAdapter
    from .types import Identifier, Resolver

__all__ = ["SubscriptionManager"]

AuthHandler: TypeAlias = Callable[[dict[str, Any]], Any]
_R = TypeVar("_R", bound=Callable[..., Any])
_CONTEXT: Final = tuple(SecurityContext.__dataclass_fields__)


class SubscriptionManager:
    """Registers resolvers, publishes events and serves clients, whatever the server.

    `event_bus_config` is an `EventBusConfig`, a `PyEventBusConfig`, a URL, or an executor that
    exists already. `options` are those of `GraphQLSubscriptions`. The executor itself is
    `executor`; nothing here does what it does not.
    """

    def __init__(
        self,
        event_bus_config: EventBusConfig
        | PyEventBusConfig
        | SubscriptionExecutor
        | str
        | None = None,
        **options: Any,
    ) -> None:
        if isinstance(event_bus_config, SubscriptionExecutor):
            self.executor = event_bus_config
        else:
            if isinstance(event_bus_config, PyEventBusConfig):
                event_bus_config = event_bus_config._config()
            self.executor = SubscriptionExecutor(event_bus_config)
        #: What clients are served with, unless a router says otherwise.
        self.options = options
        self._resolvers: dict[str, Resolver] = {}
        #: The live id by the client's, for subscriptions that were created here.
        self._created: dict[str, str] = {}
        self._apps: dict[AuthHandler | None, GraphQLSubscriptions] = {}
        self.application()  # wrong options are told now

    # --- What clients get ----------------------------------------------------------------

    @overload
    def register_resolver(
        self, name: str, resolver_fn: None = None, **definition: Any
    ) -> Callable[[_R], _R]: ...

    @overload
    def register_resolver(self, name: str, resolver_fn: _R, **definition: Any) -> _R: ...

    def register_resolver(
        self, name: str, resolver_fn: Resolver | None = None, **definition: Any
    ) -> Any:
        """Let clients subscribe to the field `name`, answered by a resolver. Also a decorator.

        The resolver takes ``(event)``, ``(event, variables)`` or ``(event, variables, info)`` and
        returns the field's value. `definition` is the rest of `SubscriptionExecutor.field`:
        channels, event types, filter; without it every event is the field's.
        """
        if resolver_fn is None:

            def decorate(function: _R) -> _R:
                self.register_resolver(name, function, **definition)
                return function

            return decorate
        self.executor.field(name, resolver=resolver_fn, **definition)
        self._resolvers[name] = resolver_fn
        return resolver_fn

    def get_resolver(self, name: str) -> Resolver | None:
        """The resolver that was registered for a field, if any."""
        return self._resolvers.get(name)

    # --- Subscriptions of the application's own --------------------------------------------

    async def create_subscription(
        self,
        subscription_id: str,
        connection_id: Identifier,
        query: str,
        operation_name: str | None = None,
        variables: Mapping[str, Any] | None = None,
        resolver_fn: Resolver | None = None,
        user_id: Identifier | None = None,
        tenant_id: Identifier | None = None,
    ) -> str:
        """Register a subscription; the other methods know it by `subscription_id`.

        Returns the executor's id. Raises what `register_subscription` raises.
        """
        id = self.executor.register_subscription(  # noqa: A001
            connection_id,
            subscription_id,
            query,
            operation_name,
            variables,
            user_id,
            tenant_id,
            resolver=resolver_fn,
        )
        self._created[subscription_id] = id
        return id

    async def publish_event(self, event_type: str, channel: str, data: Mapping[str, Any]) -> str:
        """Publish an event; its position, once it was dispatched."""
        return await self.executor.publish(event_type, channel, data)

    async def get_next_event(self, subscription_id: str) -> bytes | None:
        """The oldest response of a subscription, None when there is none.

        Raises SubscriptionNotFound.
        """
        return self.executor.next_event(self._known(subscription_id))

    async def complete_subscription(self, subscription_id: str) -> None:
        """End a subscription. Raises SubscriptionNotFound."""
        id = self._known(subscription_id)  # noqa: A001
        del self._created[subscription_id]
        self.executor.complete_subscription(id)

    def get_metrics(self) -> dict[str, Any]:
        """The executor's counters."""
        return self.executor.get_metrics()

    def _known(self, subscription_id: str) -> str:
        if subscription_id not in self._created:
            raise SubscriptionNotFound(f"there is no live subscription {subscription_id!r}")
        return self._created[subscription_id]

    # --- Clients ---------------------------------------------------------------------------

    def application(self, auth_handler: AuthHandler | None = None) -> GraphQLSubscriptions:
        """The ASGI application that serves clients; one for each `auth_handler`."""
        app = self._apps.get(auth_handler)
        if app is None:
            options = dict(self.options)
            if auth_handler is not None:
                options["on_connect"] = on_connect_of(auth_handler)
            app = self._apps[auth_handler] = GraphQLSubscriptions(self.executor, **options)
        return app

    async def handle_connection(
        self,
        websocket: WebSocketAdapter,
        protocol: SubscriptionProtocolHandler | None = None,
        auth_handler: AuthHandler | None = None,
    ) -> None:
        """Serve one client, over graphql-transport-ws unless told otherwise, until it has gone."""
        handler = protocol or GraphQLTransportWSHandler()
        await handler.handle_connection(websocket, self, auth_handler)

    async def close(self) -> None:
        """Send clients what is queued and ``complete``, then close the executor."""
        async with self.executor:
            for app in self._apps.values():
                await app.drain()


def on_connect_of(auth_handler: AuthHandler) -> Callable[..., Awaitable[SecurityContext]]:
    """An `on_connect` from a function of the ``connection_init`` payload that must know a client.

    None, and ValueError or PermissionError with a reason for the client, refuse.
    """

    async def on_connect(params: dict[str, Any], connection: object) -> SecurityContext:
        try:
            told = auth_handler(params)
            if inspect.isawaitable(told):
                told = await told
        except (ValueError, PermissionError) as error:
            raise AuthorizationError(str(error) or "Forbidden") from error
        if not isinstance(told, (SecurityContext, Mapping)):
            raise AuthorizationError("Forbidden")
        return context_from(told)

    return on_connect


def context_from(told: SecurityContext | Mapping[str, Any]) -> SecurityContext:
    """A `SecurityContext` from a mapping with its names. What else it holds is left out."""
    if isinstance(told, SecurityContext):
        return told
    return SecurityContext(**{name: told[name] for name in _CONTEXT if name in told})

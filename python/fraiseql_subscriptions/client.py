"""What the transports share: a client's machine in the engine, its timers and operations.

The machine (go/internal/protocol) is told what happened and says what is to be done. This side
does it: it asks the application who the client is, runs operations, and keeps the clock.
"""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import orjson

from .encode import decode_exact
from .errors import AuthorizationError, EngineClosed, SubscriptionsError, from_native
from .operation import Operation, Request
from .pump import Pump
from .security import SecurityContext

if TYPE_CHECKING:
    from .asgi import GraphQLSubscriptions, Scope

__all__ = ["Client"]

#: Seconds that one client may keep the event loop to itself.
_TURN: Final = 0.002
#: The part of a shutdown's grace in which a client is sent what is left, before its end.
_LEAVE: Final = 0.8

_logger = logging.getLogger("fraiseql_subscriptions")


class Client(ABC):
    """A client of `app`, from its first word to its end. Lives on the event loop's thread.

    Its `connection_id`, with `kind` in front, is what the executor knows it by. The application
    finds it in `connection.state.connection_id`.
    """

    def __init__(self, app: GraphQLSubscriptions, scope: Scope, kind: str) -> None:
        self._app = app
        self._handle = app.executor._entry()
        self._native = app.executor._native
        self._loop = asyncio.get_running_loop()
        self.connection_id = f"{kind}-{uuid.uuid4().hex}"
        # Not in the server's own mapping, which other connections may share.
        state = {**(scope.get("state") or {}), "connection_id": self.connection_id}
        self._scope: Scope = {**scope, "state": state}
        self._operations = app.operations(
            self.connection_id, SecurityContext(), self._look, self._scope
        )
        self._running: dict[int, Operation] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        #: Its task that sends, once there is one.
        self._pump: Pump | None = None
        self._turn = 0.0
        self._deciding: asyncio.Task[None] | None = None
        self._draining = False
        #: Done when the client has ended and nothing of it is left.
        self.ended: asyncio.Future[None] = self._loop.create_future()

    # --- Its machine -------------------------------------------------------------------

    @abstractmethod
    def _tell_machine(self, what: str, number: int, text: str) -> str:
        """Tell the machine what happened; what is to be done."""

    @abstractmethod
    def _output(self, kind: str, rest: list[Any]) -> None:
        """Do an action that is the transport's own."""

    @abstractmethod
    def give_up(self) -> None:
        """End without the client, which does not read or is gone."""

    def _tell(self, what: str, number: int = 0, text: str = "") -> None:
        try:
            told = self._tell_machine(what, number, text)
        except RuntimeError as error:
            raise from_native(error) from None
        if told:
            self._do(told)

    def _do(self, told: str) -> None:
        """Do what the machine says, in order."""
        for kind, *rest in orjson.loads(told):
            if kind == "timer":
                self._set_timer(*rest)
            elif kind == "authenticate":
                self._deciding = self._loop.create_task(self._decide(rest[0]))
            elif kind == "subscribe":
                self._subscribe(rest[0], rest[1], Request.from_json(*rest[2:]))
            elif kind == "complete":
                operation = self._running.pop(rest[0], None)
                if operation is not None:
                    operation.complete()
            elif kind == "unknown":
                self._app.executor._client_named(self.connection_id, rest[0])
            else:
                self._output(kind, rest)

    def _set_timer(self, name: str, seconds: float) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if seconds:
            self._timers[name] = self._loop.call_later(seconds, self._expire, name)

    def _expire(self, name: str) -> None:
        self._timers.pop(name, None)
        with contextlib.suppress(SubscriptionsError):  # the executor was closed: so is this, soon
            self._tell("expired", 0, name)

    async def _decide(self, params: str) -> None:
        """Ask the application who this is. Whatever goes wrong keeps the client out."""
        try:
            context = await self._app.identify(decode_exact(params) if params else {}, self._scope)
            self._operations.context = context
        except AuthorizationError as error:
            reason = str(error).encode("utf-8", "replace").decode().replace("\0", "")
            decision = ("refused", 0, reason or "Forbidden")
        except EngineClosed:
            self.give_up()
            return
        except Exception:
            _logger.exception("on_connect failed; the client was not let in")
            decision = ("broken", 0, "")
        else:
            decision = ("authenticated", 0, "")
        try:
            self._tell(*decision)
        except SubscriptionsError:  # the executor was closed meanwhile
            self.give_up()

    def _subscribe(self, number: int, id: str, request: Request) -> None:
        self._running[number] = self._operations.start(id, request, number)

    # --- Its end -----------------------------------------------------------------------

    def _look(self) -> None:
        """Let the writer look."""
        if self._pump is not None:
            self._pump.wake()

    async def _share(self) -> None:
        """Let others run: sending waits for nobody while the server has room."""
        if self._loop.time() - self._turn > _TURN:
            await asyncio.sleep(0)
            self._turn = self._loop.time()

    def drain(self) -> None:
        """The server goes away: send what is queued, then complete and end."""
        self._draining = True
        self._look()

    def _leaving(self) -> float:
        """The server goes away: until when to send what is left.

        Events that others go on publishing must not take the time for the end.
        """
        self._draining = False
        return self._loop.time() + _LEAVE * self._app.grace

    def _report_end(self, operation: Operation) -> None:
        """Tell the machine that one has ended, unless its client ended it."""
        if self._running.pop(operation.tag, None) is None:
            return
        if operation.errors:
            self._tell("failed", operation.tag, operation.errors.decode())
        else:
            self._tell("finished", operation.tag)

    async def _end(self) -> None:
        """Give back everything."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._deciding is not None:
            self._deciding.cancel()
        self._running.clear()
        try:
            await self._operations.close(self._app.grace)
        finally:
            if not self.ended.done():
                self.ended.set_result(None)

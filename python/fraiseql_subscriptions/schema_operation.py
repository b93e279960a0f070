"""Operations that run in Python: queries, mutations, and fields with generators of their own.

Each is one task. What it runs finds its operation in `running`, so that what it asks of the
executor is asked for the client.
"""

# ruff: noqa: A002  (`id` is a name of the public API)

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import orjson

from .errors import AuthorizationError, SubscriptionsError
from .execution import QueryRefused, payload_of
from .operation import NEXT, FeedOperation, Operation, Request
from .result import message_of

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Coroutine

    from .execution import ExecutableSchema
    from .operations import Operations

__all__ = ["GeneratorOperation", "ResultOperation", "SchemaOperation", "running"]

_logger = logging.getLogger("fraiseql_subscriptions")

#: The client's operation that the present code runs in.
running: Final[ContextVar[SchemaOperation | None]] = ContextVar(
    "fraiseql_subscriptions_running", default=None
)
#: Results that a generator may be ahead of its client.
_AHEAD: Final = 16


class SchemaOperation(Operation):
    """What queries, mutations and generators have in common."""

    __slots__ = ("_outcome", "_reported", "request", "schema", "task")

    def __init__(
        self, operations: Operations, id: str, tag: Any, request: Request, schema: ExecutableSchema
    ) -> None:
        super().__init__(operations, id, tag)
        self.head = b'{"id":' + orjson.dumps(id) + NEXT
        self.request = request
        self.schema = schema
        #: The errors with which its task ended, b"" for none; None while that runs.
        self._outcome: bytes | None = None
        self._reported = False
        self.task: asyncio.Task[None] | None = None

    @property
    def operations(self) -> Operations:
        """The connection's."""
        return self._operations

    def run(self) -> asyncio.Task[None]:
        """Begin. Its own task, within its own context."""
        context = contextvars.copy_context()
        context.run(running.set, self)
        loop = asyncio.get_running_loop()
        coroutine: Coroutine[Any, Any, None] = self._run()
        self.task = context.run(loop.create_task, coroutine)
        return self.task

    async def _run(self) -> None:
        outcome = b""
        try:
            outcome = await self._attempt()
        finally:
            self._outcome = outcome
            self.wake()

    async def _attempt(self) -> bytes:
        """Run it, and return the errors with which it ended."""
        try:
            context = await self.schema.context(self._operations.scope)
        except AuthorizationError as error:
            return self._problem(str(error), error.code)
        except Exception:  # a mistake of the application's, whose text is not for clients
            _logger.exception("context_getter failed; a client's operation was not run")
            return self._problem("Internal error", "INTERNAL_ERROR")
        try:
            await self._answer(context)
        except QueryRefused as refused:
            return refused.errors
        except SubscriptionsError as error:
            return self._problem(str(error), error.code)
        except Exception as error:  # as that of a resolver is
            self._report(error)
            formatted = getattr(error, "formatted", None)  # of a GraphQLError
            if isinstance(formatted, dict):
                return orjson.dumps([formatted])
            return self._problem(message_of(error).decode(), "RESOLVER_ERROR")
        return b""

    def _report(self, error: BaseException) -> None:
        """Log what a resolver raised, once an operation."""
        if not self._reported:
            self._reported = True
            _logger.error("a resolver failed in a client's operation: %s", error, exc_info=error)

    async def _answer(self, context: Any) -> None:
        """Run it, and give the results."""
        raise NotImplementedError

    def _message(self, result: Any) -> bytes:
        """An execution result as a message."""
        for error in result.errors or ():
            original = getattr(error, "original_error", None)
            if original is not None and not isinstance(original, SubscriptionsError):
                self._report(original)
        try:
            payload = payload_of(result)
        except (TypeError, ValueError) as error:  # a scalar's serialize gave what is no JSON
            _logger.error("an execution result cannot be sent: %s", error)
            payload = b'{"data":null,"errors":' + self._problem(str(error), "RESOLVER_ERROR") + b"}"
        return self.head + payload + b"}"

    def _problem(self, message: str, code: str) -> bytes:
        return orjson.dumps([{"message": message, "extensions": {"code": code}}])


class ResultOperation(SchemaOperation):
    """A query or a mutation: one result."""

    __slots__ = ("_finishes", "_message_left")

    def __init__(
        self,
        operations: Operations,
        id: str,
        tag: Any,
        request: Request,
        schema: ExecutableSchema,
        *,
        finishes: bool,
    ) -> None:
        super().__init__(operations, id, tag, request, schema)
        self._finishes = finishes
        self._message_left: bytes | None = None

    def next(self) -> bytes | None:
        self._queued = False
        if self.ended:
            return None
        message, self._message_left = self._message_left, None
        if message is None and self._outcome is not None:
            self._end(self._outcome)
        elif message is not None:
            self.wake()  # for the end
        return message

    async def _answer(self, context: Any) -> None:
        result = await self.schema.execute(self.request, context)
        self._message_left = self._message(result)

    def _stop(self) -> None:
        # A mutation that has begun goes on without the client.
        if self.task is not None and not self._finishes:
            self.task.cancel()


class GeneratorOperation(FeedOperation, SchemaOperation):
    """A subscription whose field has a generator of its own.

    The engine has a subscription for it, too, without channels: that counts for the limits,
    is checked for scope and permissions, and ends with its context. Results wait in its feed,
    where the engine drops what a new context may not see.
    """

    __slots__ = ("_feed", "_room", "_seen", "parts")

    def __init__(
        self,
        operations: Operations,
        id: str,
        tag: Any,
        request: Request,
        schema: ExecutableSchema,
        engine_id: str,
    ) -> None:
        super().__init__(operations, id, tag, request, schema)
        self._room = asyncio.Event()
        #: What was waiting when the generator last got an event of the engine's.
        self._seen: deque[bytes] | None = None
        #: The engine's subscriptions that its generator listens to.
        self.parts: set[str] = set()
        self._feed = self._adopt(engine_id)

    def next(self) -> bytes | None:
        message = super().next()
        self._room.set()
        return message

    def drain(self) -> None:
        if self.task is not None:
            self.task.cancel()  # what it has given is sent, and then its end

    def sees(self) -> None:
        """Its generator gets an event that the client's context may see now."""
        self._seen = self._feed.buffer

    def _look(self) -> None:
        if self._outcome is not None:
            self._end(self._outcome)
        else:
            super()._look()

    async def _answer(self, context: Any) -> None:
        results = self.schema.subscribe(self.request, context)
        async with contextlib.aclosing(results):
            async for result in results:
                self._give(self._message(result))
                while len(self._feed.buffer) >= _AHEAD:
                    self._room.clear()
                    await self._room.wait()

    def _give(self, message: bytes) -> None:
        feed = self._feed
        with feed.consumer.lock:
            buffer = feed.buffer
            if self._seen is not None and self._seen is not buffer:
                return  # made from what the client's new context may not see
            if feed.ended or (buffer and not buffer[-1].startswith(self.head)):
                return  # nothing follows the engine's final message
            buffer.append(message)
        self.wake()

    def _stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
        super()._stop()
        for part in list(self.parts):
            with contextlib.suppress(SubscriptionsError):  # the executor was closed before
                self._operations.executor.complete_subscription(part)

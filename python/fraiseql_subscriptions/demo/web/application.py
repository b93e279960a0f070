"""The application: the pages, their files, and GraphQL at /graphql. Needs the extra ``web``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from graphql import build_schema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fraiseql_subscriptions.starlette import add_subscription_routes

from ..data import Flight, events_of
from .day import Day
from .schema import SDL, define, executor_for, root_value

__all__ = ["application"]

_FOLDER: Final = Path(__file__).parent
#: Nothing is fetched from elsewhere. GraphiQL's editor sets styles, and its CSS holds its fonts.
_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src data:; img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


def application(flights: Sequence[Flight], speed: float | None) -> Starlette:
    """The demo's web application; the day begins with its lifespan."""
    executor = executor_for()
    define(executor)
    root: dict[str, object] = {}

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        day = Day(executor, events_of(flights), speed)
        root.update(root_value(day, flights))
        publishing = asyncio.create_task(day.publish())
        try:
            yield
        finally:
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing

    app = Starlette(
        routes=[
            Route("/", _page("index.html")),
            Route("/graphiql", _page("graphiql.html")),
            Mount("/page", StaticFiles(directory=_FOLDER / "page")),
            Mount("/vendor", StaticFiles(directory=_FOLDER / "vendor")),
        ],
        lifespan=lifespan,
    )
    add_subscription_routes(app, executor, "/graphql", schema=build_schema(SDL), root_value=root)
    return app


def _page(name: str) -> Callable[[Request], Awaitable[FileResponse]]:
    async def page(request: Request) -> FileResponse:
        return FileResponse(_FOLDER / "page" / name, headers=_HEADERS)

    return page

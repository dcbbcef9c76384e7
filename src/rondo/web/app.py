"""Requests become responses: the page, and what its three tabs ask for.

Everything that computes takes its turn in one line, so that a photo waits for a piece of a training
and not for its end; photos are decoded in another line, beside it. What is sent must be of a type
that no page of another site can send without leave, and the name of the host must be one that this
server goes by.

Every request ends in bounded time and memory: `connection.py` bounds what a client keeps waiting,
`uploads.py` what it sends, `line.py` what it has computed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.responses import StreamingResponse as Streaming
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rondo.cells.named import NAMED_CELLS
from rondo.data.pictures import PhotoError
from rondo.errors import RunError
from rondo.system.memory import is_lack_of_memory
from rondo.web import photo
from rondo.web.cells import MAX_STEPS, equations, shown
from rondo.web.line import RETRY_AFTER, Line
from rondo.web.live import LiveTraining, tasks
from rondo.web.pixels import read_apart
from rondo.web.requests import RANGES, MalformedError, drawing_of, stage_of, training_of
from rondo.web.threads import Threads, processes_watched_without_threads
from rondo.web.uploads import Uploads
from rondo.web.words import as_html

STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Of the files that the page loads."""

TURN_SECONDS = 3
"""How long a training waits for the end of another one."""

TRAINING_SECONDS = 3600
"""How long a training goes on at most."""

SETTINGS_BYTES = 1_000_000
"""How long the settings of a training may be."""

HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; "
    b"img-src 'self' data: blob:; media-src blob:; connect-src 'self'; form-action 'none'; "
    b"base-uri 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(self), microphone=(), geolocation=()",
    b"cache-control": b"no-store",
}
"""What every response says: nothing from elsewhere, and nothing is to be kept."""

Value = TypeVar("Value")


def make_app(predictor: photo.Predictor | None, hosts: list[str]) -> Starlette:
    """Returns the application.

    Args:
        predictor: What answers about photos; None for a page without.
        hosts: The names of hosts that requests may be sent to; `["*"]` for any.
    """
    page = _Page(predictor)
    routes = [
        Route("/", page.index),
        Route("/api/about", page.about),
        Route("/api/drawing/{number}", page.drawing),
        Route("/api/photo", page.photo, methods=["POST"]),
        Route("/api/cell/{name}/equations", page.equations),
        Route("/api/cell/{name}/{stage}", page.cell),
        Route("/api/train", page.train, methods=["POST"]),
        Route("/static/{name}", page.static),
    ]
    return Starlette(
        routes=routes,
        lifespan=page.lifespan,
        middleware=[Middleware(_Headers), Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
        exception_handlers={  # coroutines, for which Starlette starts no thread: memory may lack
            MalformedError: _malformed,
            RunError: _refused,
            PhotoError: _refused,
            HTTPException: _failed,
            ClientDisconnect: _gone,
            MemoryError: _without_memory,
            RuntimeError: _without_memory,
        },
    )


class _Page:
    """What answers each address."""

    def __init__(self, predictor: photo.Predictor | None) -> None:
        self.predictor = predictor
        self.reading, self.line, self.training = Line(), Line(), asyncio.Lock()
        self.uploads, self.threads = Uploads(), Threads()
        self.index_text = (STATIC / "index.html").read_text(encoding="utf-8")
        self.files = {
            path.name: (path.read_bytes(), MEDIA_TYPES[path.suffix])
            for path in STATIC.iterdir()
            if path.suffix in MEDIA_TYPES
        }

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Encloses all requests."""
        async with processes_watched_without_threads():
            yield
        self.threads.close()

    async def compute(
        self, request: Request, function: Callable[..., Value], *arguments: Any
    ) -> Value:
        return await self.line.serve(request, partial(self.threads.run, function, *arguments))

    async def index(self, _request: Request) -> Response:
        warning = "" if self.predictor is None else self.predictor.warning
        return HTMLResponse(self.index_text.replace("{warning}", warning))

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404)
        contents, media_type = self.files[name]
        return Response(contents, media_type=media_type)

    async def about(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "photo": photo.about(self.predictor),
                "cells": list(NAMED_CELLS),
                "max_steps": MAX_STEPS,
                "tasks": await self.threads.run(tasks),
                "ranges": RANGES,
            }
        )

    async def drawing(self, request: Request) -> Response:
        number = drawing_of(request.path_params["number"])
        contents = await self.compute(request, photo.drawing, self.predictor, number)
        return Response(contents, media_type="image/png")

    async def photo(self, request: Request) -> Response:
        if self.predictor is None:
            raise RunError("the page was started without a run, so no network looks at photos")
        media_type, limits = "application/octet-stream", photo.LIMITS
        size = self.predictor.config.options.image_size
        async with self.uploads.body(request, media_type, limits.num_bytes) as contents:
            read = partial(read_apart, contents, size, limits)
            pixels = await self.reading.serve(request, read)
        return JSONResponse(await self.compute(request, photo.look_at, self.predictor, pixels))

    async def equations(self, request: Request) -> Response:
        name, _, _ = stage_of(request.path_params["name"], "graph", "1")
        return HTMLResponse(as_html(await self.compute(request, equations, name)))

    async def cell(self, request: Request) -> Response:
        path, steps = request.path_params, request.query_params.get("steps", "1")
        name, stage, num_steps = stage_of(path["name"], path["stage"], steps)
        text = await self.compute(request, shown, name, stage, num_steps)
        return PlainTextResponse(
            text, media_type="text/plain" if stage == "source" else "image/svg+xml"
        )

    async def train(self, request: Request) -> Response:
        async with self.uploads.body(request, "application/json", SETTINGS_BYTES) as contents:
            settings = await self.threads.run(training_of, contents)
        training = await self.compute(request, LiveTraining, *settings)
        return Streaming(self._pieces(training), media_type="application/x-ndjson")

    async def _pieces(self, training: LiveTraining) -> AsyncIterator[str]:
        """A line of JSON for each piece, until the browser goes away or the training ends."""
        try:
            await asyncio.wait_for(self.training.acquire(), TURN_SECONDS)
        except TimeoutError:
            yield _line({"error": "another window is training; stop it there first"})
            return
        try:
            yield _line({"description": training.description})
            end = time.monotonic() + TRAINING_SECONDS
            while not training.is_done and time.monotonic() < end:
                yield _line(await self.line.run(partial(self.threads.run, training.advance)))
            if training.diverged:
                yield _line({"error": training.diverged})
            if not training.is_done:
                minutes = TRAINING_SECONDS // 60
                yield _line({"error": f"it is stopped after {minutes} minutes; use `rondo train`"})
        except HTTPException as error:
            yield _line({"error": error.detail})
        finally:
            self.training.release()


class _Headers:
    """Adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS.items()]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event) + "\n"


async def _refused(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)


async def _malformed(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _without_memory(_request: Request, error: Exception) -> Response:
    if not is_lack_of_memory(error):
        raise error
    return JSONResponse({"error": "there is too little memory now; try again"}, 503, RETRY_AFTER)


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it

"""The line of what is to be computed: one thing at a time, a bounded number that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MAX_WAITING = 32
"""Requests that compute or wait for it; further ones are turned away."""

WORK_SECONDS = 60
"""How long a request waits for what it computes, the line before it included."""

RETRY_AFTER = {"Retry-After": "5"}
"""What a client is told that is turned away, in seconds."""

Value = TypeVar("Value")
Work = Callable[[], Awaitable[Value]]


class Line:
    """Lets one thing compute at a time, in the order in which they came.

    Who gives up waiting leaves the line. What has begun to compute in a thread cannot be stopped:
    it is finished for nobody, and the next one waits for its end.
    """

    def __init__(self) -> None:
        self.turn, self.num_waiting = asyncio.Lock(), 0
        self.running: asyncio.Future[Any] | None = None

    async def serve(self, request: Request, work: Work[Value]) -> Value:
        """Computes for a request whose body has arrived.

        Raises:
            HTTPException: 503 where the line is full, or it takes longer than `WORK_SECONDS`.
            ClientDisconnect: Where the client went away before.
        """
        if self.num_waiting >= MAX_WAITING:
            raise HTTPException(503, "too many requests at once; try again", RETRY_AFTER)
        self.num_waiting += 1
        try:
            return await _while_connected(request, self.run(work))
        finally:
            self.num_waiting -= 1

    async def run(self, work: Work[Value]) -> Value:
        """Computes as soon as it is the turn.

        Raises:
            HTTPException: 503 where it takes longer than `WORK_SECONDS`.
        """
        try:
            async with asyncio.timeout(WORK_SECONDS):
                await self.turn.acquire()
                self.running = asyncio.ensure_future(work())
                self.running.add_done_callback(self._finish)
                return await asyncio.shield(self.running)
        except TimeoutError as error:
            detail = f"no answer was ready after {WORK_SECONDS} seconds; try again"
            raise HTTPException(503, detail, RETRY_AFTER) from error

    def _finish(self, _running: asyncio.Future[Any]) -> None:
        self.running = None  # so that no answer is kept
        self.turn.release()


async def _while_connected(request: Request, answer: Awaitable[Value]) -> Value:
    """Awaits an answer as long as there is somebody to have it."""
    leaving, answering = asyncio.ensure_future(_left(request)), asyncio.ensure_future(answer)
    try:
        await asyncio.wait({leaving, answering}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientDisconnect
        return answering.result()
    finally:
        leaving.cancel()
        answering.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

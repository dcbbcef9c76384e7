"""The bodies of requests, within limits of type, length, time and memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from anyio import CancelScope, current_time
from starlette.exceptions import HTTPException
from starlette.requests import Request

from rondo.web.line import RETRY_AFTER

UPLOAD_SECONDS = 60
"""How long a body may take to arrive."""

HELD_BYTES = 256_000_000
"""How many bytes of bodies are held in memory together."""


@dataclass(eq=False)
class _Upload:
    """A body, as far as it has arrived."""

    scope: CancelScope = field(default_factory=CancelScope)
    contents: bytearray = field(default_factory=bytearray)


class Uploads:
    """Takes in the bodies of requests, in bounded memory.

    Where more arrives than may be held, the body that began first is dropped: bodies that never end
    keep out no others.
    """

    def __init__(self) -> None:
        self.arriving: list[_Upload] = []
        """Those that are not whole yet, in the order in which they began."""
        self.num_bytes = 0

    @contextlib.asynccontextmanager
    async def body(
        self, request: Request, media_type: str, limit: int
    ) -> AsyncIterator[bytes | bytearray]:
        """Gives the body of a request; it counts as held until the context is left.

        Args:
            request: A request whose body was not read.
            media_type: What it must be sent as.
            limit: How many bytes it may have; not many more are read.

        Raises:
            HTTPException: Where it is of another type (415), too long (413) or too slow (408), or
                was dropped for others (503).
            ClientDisconnect: Where the client went away before its end.
        """
        _check_type(request, media_type)
        _check_length(int(request.headers.get("content-length", 0)), limit)
        upload = _Upload()
        self.arriving.append(upload)
        try:
            await self._receive(upload, request, limit)
            self.arriving.remove(upload)
            yield upload.contents
        finally:
            self._release(upload)

    async def _receive(self, upload: _Upload, request: Request, limit: int) -> None:
        upload.scope.deadline = current_time() + UPLOAD_SECONDS
        with upload.scope:
            async for part in request.stream():
                self._hold(upload, part)
                _check_length(len(upload.contents), limit)
            if upload in self.arriving:
                return
        if upload in self.arriving:
            raise HTTPException(408, f"nothing whole arrived in {UPLOAD_SECONDS} seconds")
        raise HTTPException(503, "too much was sent at once; try again", RETRY_AFTER)

    def _hold(self, upload: _Upload, part: bytes) -> None:
        if upload not in self.arriving:  # it was dropped while this part was on its way
            return
        upload.contents += part
        self.num_bytes += len(part)
        while self.num_bytes > HELD_BYTES and self.arriving:
            oldest = self.arriving[0]
            oldest.scope.cancel()
            self._release(oldest)

    def _release(self, upload: _Upload) -> None:
        if upload in self.arriving:
            self.arriving.remove(upload)
        self.num_bytes -= len(upload.contents)
        upload.contents = bytearray()


def _check_type(request: Request, media_type: str) -> None:
    found = request.headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != media_type:
        raise HTTPException(415, f"send it as {media_type}, not as {found or 'nothing'}")


def _check_length(num_bytes: int, limit: int) -> None:
    if num_bytes > limit:
        detail = f"the file is larger than {limit:,} bytes; save a smaller copy"
        raise HTTPException(413, detail)

"""A connection to a client that may be slow, silent or gone.

uvicorn's own connection waits without end for the rest of a head, and for a client that does not
read; this one gives up. There are at most `MAX_CONNECTIONS`: a further one takes the place of the
one whose client has been waited for the longest, so that clients that hold connections open keep
nobody out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_SECONDS = {"request": 20.0, "body": 90.0, "reading": 60.0}
"""How long a client is waited for: for its next request, the body of it, or to read the answer."""

MAX_CONNECTIONS = 400
"""Connections at the same time. Each may also hold a file open, and systems allow 1024."""

PIECE_BYTES = 16_384
"""How much is taken from a connection before it is the turn of others."""


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """One connection, for `uvicorn.Config(http=Connection)`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.awaited: str | None = None
        """What of its client the connection waits for; None where the client waits for us."""
        self.since = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.is_given_up = False
        self.piece = bytearray(PIECE_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the place of another connection where there are too many."""
        super().connection_made(transport)
        self._review()
        others = [each for each in self.connections if isinstance(each, Connection)]
        kept = [each for each in others if not each.is_given_up]
        if len(kept) > MAX_CONNECTIONS:
            awaited = [each for each in kept if each.awaited is not None]
            min(awaited, key=lambda each: each.since).give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the waiting."""
        if self.timer is not None:
            self.timer.cancel()
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Returns what the next piece is written into."""
        return self.piece

    def buffer_updated(self, nbytes: int) -> None:
        """Takes in the piece that has arrived."""
        self.data_received(bytes(self.piece[:nbytes]))

    def handle_events(self) -> None:
        """Handles what has arrived of a request."""
        super().handle_events()
        self._review()

    def on_response_complete(self) -> None:
        """Goes on to the next request."""
        super().on_response_complete()
        self._review()

    def pause_writing(self) -> None:
        """Waits for the client to read."""
        super().pause_writing()
        self._review()

    def resume_writing(self) -> None:
        """Goes on where the client has read."""
        super().resume_writing()
        self._review()

    def give_up(self) -> None:
        """Ends the connection, with all that is on its way to the client."""
        self.is_given_up = True
        self.transport.abort()

    def _review(self) -> None:
        """Begins to wait where something else is awaited than before."""
        awaited = self._awaited()
        if awaited == self.awaited:
            return
        self.awaited, self.since = awaited, self.loop.time()
        if self.timer is not None:
            self.timer.cancel()
        if awaited is not None:
            self.timer = self.loop.call_later(PATIENCE_SECONDS[awaited], self.give_up)

    def _awaited(self) -> str | None:
        if self.flow.write_paused:
            return "reading"
        if self.cycle is None or self.cycle.response_complete:
            return "request"
        return "body" if self.cycle.more_body else None

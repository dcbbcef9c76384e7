"""Somebody who looks at the page, asks the same things again and again, and keeps the answers."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import signal
import threading
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from fault_processes import Command

NO_ANSWER, HANGS = "no answer", "hangs"
"""What stands in the place of a status where a connection ends, or nothing comes."""

ANSWER_S = 75.0
"""Seconds after which nothing counts as coming; the page itself gives up after 60."""

NEEDS_COMPILER = "/api/cell/lstm/source"
"""What is refused, with 422, where kernels cannot be compiled."""


def photo_bytes() -> bytes:
    """A photo of noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((180, 240)).save(stream, "PNG")
    return stream.getvalue()


ASKED: dict[str, bytes | None] = {
    "/": None,
    "/api/about": None,
    "/api/drawing/5": None,
    "/api/cell/gru/plan": None,
    NEEDS_COMPILER: None,
    "/api/photo": photo_bytes(),
}
"""What is asked for, and what is sent along."""


@dataclass
class Visitor:
    """Asks a server, which is started already.

    Args:
        command: The server.
    """

    command: Command
    port: int = 0
    num_answers: int = 0
    is_asking: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def round(self) -> dict[str, str]:
        """Asks everything once; returns the status and the digest of each answer.

        Where an answer does not come, it is the last one.
        """
        answers: dict[str, str] = {}
        for path, body in ASKED.items():
            answers[path] = self.ask(path, body)
            if answers[path] == HANGS:
                break
        return answers

    def round_and_end(self) -> dict[str, str]:
        """Asks everything once and ends the server as a user does."""
        self.find()
        answers = self.round()
        self.command.send(signal.SIGINT)
        return answers

    def find(self) -> bool:
        """Waits until it listens; whether it does."""
        line = self.command.wait_for_line("/  (Ctrl-C ends it)")
        if line:
            self.port = int(line.partition("/  (")[0].rpartition(":")[2])
        return bool(line)

    def keep_asking(self) -> threading.Thread:
        """Begins to ask, again and again until it is stopped."""

        def ask_all() -> None:
            while self.find() and not self.stop.is_set():
                self.round()
                if not self.command.reader.is_alive():
                    return

        thread = threading.Thread(target=ask_all, daemon=True)
        thread.start()
        return thread

    def ask(self, path: str, body: bytes | None) -> str:
        """Asks one thing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        self.is_asking = True
        try:
            with contextlib.closing(connection):
                kind = {"Content-Type": "application/octet-stream"} if body else {}
                connection.request("POST" if body else "GET", path, body, kind)
                response = connection.getresponse()
                digest = hashlib.sha256(response.read()).hexdigest()[:16]
        except TimeoutError:
            return HANGS
        except (OSError, http.client.HTTPException):
            return NO_ANSWER
        finally:
            self.is_asking = False
        self.num_answers += 1
        return f"{response.status} {digest}" if response.status == 200 else str(response.status)

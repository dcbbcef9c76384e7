"""What the clients of `benchmarks/serving.py` do: each function is one request, good or bad."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import random
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

TIMEOUT_S = 120
PHOTO, SETTINGS = "application/octet-stream", "application/json"


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Args:
        status: The status, or "ended" where the server ended the connection without one.
        retry_s: How long the server asks to wait before the next one, in seconds.
    """

    status: str
    retry_s: float = 0.0


@dataclass(frozen=True)
class Client:
    """One client of the page at a port of this machine."""

    port: int
    random: random.Random

    @contextlib.contextmanager
    def asked(
        self, method: str, path: str, body: bytes | None = None, kind: str = PHOTO
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": kind} if body else {})
            yield connection.getresponse()

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = PHOTO) -> Answer:
        with self.asked(method, path, body, kind) as response:
            response.read()
            return Answer(str(response.status), float(response.headers.get("retry-after", 0)))

    @contextlib.contextmanager
    def sent(self, contents: bytes) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as connection:
            connection.sendall(contents)
            yield connection


def photo_file(client: Client) -> bytes:
    """Noise of 300 to 2,000 pixels in one of three formats, never the same."""
    draws = np.random.default_rng(client.random.getrandbits(32))
    width, height = draws.integers(300, 2000, 2)
    coarse = draws.integers(0, 256, (height // 20, width // 20, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(
        stream, client.random.choice(["JPEG", "PNG", "WEBP"])
    )
    return stream.getvalue()


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


# ---- good ones ----


def page(client: Client) -> Answer:
    name = client.random.choice(["main.js", "page.js", "style.css", "icon.svg"])
    return client.ask("GET", client.random.choice(["/", "/api/about", f"/static/{name}"]))


def cell(client: Client) -> Answer:
    name = client.random.choice(["gru", "lstm", "tanh"])
    stage = client.random.choice(["graph", "unrolled?steps=4", "plan", "source", "equations"])
    return client.ask("GET", f"/api/cell/{name}/{stage}")


def drawing(client: Client) -> Answer:
    return client.ask("GET", f"/api/drawing/{client.random.randrange(10**6)}")


def photo(client: Client) -> Answer:
    return client.ask("POST", "/api/photo", photo_file(client))


def training(client: Client) -> Answer:
    """Watches three pieces of a training, and leaves."""
    settings = {"task": "parity", "cell": "gru", "length": 10, "hidden_size": 8}
    body = json.dumps(settings).encode()
    with client.asked("POST", "/api/train", body, SETTINGS) as response:
        lines = [response.readline() for _ in range(4)]
        is_turned_away = b"error" in lines[0] and response.status == 200
        retry_s = float(response.headers.get("retry-after", 0))
        return Answer(
            "200, another one trains" if is_turned_away else str(response.status), retry_s
        )


# ---- bad ones ----


def deep_json(client: Client) -> Answer:
    return client.ask("POST", "/api/train", b'{"task":' + b"[" * 50_000, SETTINGS)


def wrong_words(client: Client) -> Answer:
    return client.ask("POST", "/api/train", b'{"task": "\\ud800", "length": 1e999}', SETTINGS)


def multipart(client: Client) -> Answer:
    return client.ask("POST", "/api/photo", b"--x\r\n", "multipart/form-data; boundary=x")


def no_picture(client: Client) -> Answer:
    return client.ask("POST", "/api/photo", client.random.randbytes(10_000))


def cut_picture(client: Client) -> Answer:
    contents = photo_file(client)
    return client.ask("POST", "/api/photo", contents[: len(contents) // 2])


def too_many_pixels(client: Client) -> Answer:
    """A PNG of 3,600 million pixels by its header."""
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    crc = zlib.crc32(header).to_bytes(4, "big")
    return client.ask("POST", "/api/photo", b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + crc)


def too_many_bytes(client: Client) -> Answer:
    with client.sent(
        head("POST /api/photo", f"Content-Type: {PHOTO}", "Content-Length: 99999999")
    ) as sent:
        return status_of(sent)


def path_outside(client: Client) -> Answer:
    path = client.random.choice(["/static/../app.py", "/static/%2e%2e/app.py", "//etc/passwd"])
    return client.ask("GET", path)


def unknown_method(client: Client) -> Answer:
    return client.ask("BREW", "/")


def huge_head(client: Client) -> Answer:
    with contextlib.suppress(ConnectionError), client.sent(b"GET / HTTP/1.1\r\nx: ") as sent:
        sent.sendall(b"a" * 200_000)
        return status_of(sent)
    return Answer("ended")


def leaves(client: Client) -> Answer:
    """Sends a photo and goes away before the answer."""
    contents = photo_file(client)
    request = head("POST /api/photo", f"Content-Type: {PHOTO}", f"Content-Length: {len(contents)}")
    with client.sent(request + contents):
        time.sleep(client.random.random() / 4)
    return Answer("left")


def slow_head(client: Client) -> Answer:
    """A head byte by byte."""
    return dripped(client, b"", 0.5)


def endless_body(client: Client) -> Answer:
    """A body in chunks that never ends."""
    chunked = head("POST /api/photo", f"Content-Type: {PHOTO}", "Transfer-Encoding: chunked")
    return dripped(client, chunked, 0.5, b"400\r\n" + bytes(1024) + b"\r\n")


def dripped(client: Client, begin: bytes, pause_s: float, drop: bytes = b"a") -> Answer:
    """Sends a drop again and again, until it is answered or ended, for 30 seconds at most."""
    with client.sent(begin) as sent:
        sent.settimeout(pause_s)
        for _ in range(int(30 / pause_s)):
            try:
                sent.sendall(drop)
                return status_of(sent)
            except TimeoutError:
                continue
            except ConnectionError:
                return Answer("ended")
    return Answer("left")


def status_of(connection: socket.socket) -> Answer:
    line = connection.recv(65536).partition(b"\r\n")[0].decode()
    return Answer(line.split()[1] if line else "ended")


GOOD: dict[Callable[[Client], Answer], int] = {
    page: 20,
    cell: 10,
    drawing: 5,
    photo: 20,
    training: 2,
}
BAD: dict[Callable[[Client], Answer], int] = {
    deep_json: 3,
    wrong_words: 3,
    multipart: 3,
    no_picture: 3,
    cut_picture: 3,
    too_many_pixels: 3,
    too_many_bytes: 3,
    path_outside: 3,
    unknown_method: 3,
    huge_head: 3,
    leaves: 5,
    slow_head: 1,
    endless_body: 1,
}
"""How often each is drawn, in parts of the sum."""

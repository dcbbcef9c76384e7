"""The page of `rondo web` served in this process, and a small network that sweeps."""

from __future__ import annotations

import contextlib
import copy
import http.client
import io
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor, nn

import rondo
from commands import STUCK_S
from photo_runs import add_network, new_run, photo_data, run_config, session_of
from rondo.tasks.photo.answers import Predictor
from rondo.tasks.photo.sets import PhotoSet
from rondo.web.app import make_app
from rondo.web.serve import hosts_of, listening, server_of


class SweepingNetwork(nn.Module):
    """A convolution, a spatial layer over 2 x 2 blocks and a head, for photos of 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 4, stride=4),
            nn.ReLU(),
            rondo.SpatialRNN(2, rondo.ElmanCell, input_channels=4, hidden_size=3),
        )
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, photos: Tensor) -> Tensor:
        return self.head(self.features(photos / 128)).mean((2, 3))


def predictor_of(model: nn.Module, data: dict[str, PhotoSet] | None = None) -> Predictor:
    """What a run with these weights answers, on photos of the classes of some data."""
    config = run_config(photo_data() if data is None else data)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        add_network(patch, lambda **_: copy.deepcopy(model), config.options.model)
        path = Path(folder) / "run"
        sets = photo_data() if data is None else data
        session = session_of(new_run(path, config), sets)
        session.folder.write_weights(model.state_dict(), session.origin())
        return Predictor.load(path)


def portrait(form: str = "PNG", size: tuple[int, int] = (90, 120), **options: Any) -> bytes:
    """A picture of nothing, as a file."""
    stream = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(stream, form, **options)
    return stream.getvalue()


@contextlib.contextmanager
def serving(predictor: Predictor | None) -> Iterator[int]:
    """Serves the page at 127.0.0.1; gives the port."""
    with listening("127.0.0.1", 0) as listener:
        server = server_of(make_app(predictor, hosts_of("127.0.0.1")))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


class Client:
    """Sends requests, one on each connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    @contextlib.contextmanager
    def open(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STUCK_S)
        try:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            yield response
            response.close()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        with self.open("GET", path, **headers) as response:
            return response.status, response.read()

    def post(self, path: str, body: bytes, media_type: str) -> tuple[int, Any]:
        with self.open("POST", path, body, content_type=media_type) as response:
            return response.status, json.loads(response.read())

    def photo(self, contents: bytes) -> tuple[int, Any]:
        return self.post("/api/photo", contents, "application/octet-stream")


@contextlib.contextmanager
def connected(port: int, sent: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which some bytes were sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=STUCK_S) as connection:
        connection.sendall(sent)
        yield connection


def received(connection: socket.socket) -> bytes:
    """All that the server sends until it ends the connection; nothing more where it is reset."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def head(line: str, *headers: str) -> bytes:
    """The head of a request, without the empty line at its end."""
    return "\r\n".join([f"{line} HTTP/1.1", "host: localhost", *headers, ""]).encode("latin-1")


def answer_to(port: int, request: bytes) -> tuple[int, bytes]:
    """The status and the body of the only answer to some bytes."""
    with connected(port, request) as connection:
        response = response_on(connection)
        return response.status, response.read()


def response_on(connection: socket.socket) -> http.client.HTTPResponse:
    """The next answer on a connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response


def break_off(*_arguments: Any) -> None:
    """Ends its process as a broken decoder does."""
    os.abort()


def scan_bomb(num_scans: int, side: int = 7000) -> bytes:
    """A JPEG of a single grey that is drawn over and over again: few bytes, much to decode."""

    def segment(marker: int, contents: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(contents) + 2).to_bytes(2, "big") + contents

    run = "0" + "1" * 14  # the one code of the table, and 2 ** 15 - 1 empty blocks
    num_runs = (side // 8 + 1) ** 2 // (2**15 - 1) + 1
    bits = run * num_runs
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + data
    sides = side.to_bytes(2, "big") * 2
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xDB, bytes([0] + [1] * 64)),
            segment(0xC2, bytes([8]) + sides + bytes([1, 1, 0x11, 0])),
            segment(0xC4, bytes([0x10, 1] + [0] * 15 + [0xE0])),
            scan * num_scans,
            b"\xff\xd9",
        ]
    )


def training(**changes: Any) -> bytes:
    """What the page sends to train a small network on a small task."""
    values = {
        "task": "parity",
        "cell": "tanh",
        "length": 3,
        "hidden_size": 2,
        "learning_rate": 0.01,
    }
    return json.dumps({**values, **changes}).encode()

"""The page of `rondo web` served in this process, and a small network that sweeps."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from PIL import Image
from torch import Tensor, nn

import rondo
from commands import STUCK_S
from photo_runs import photo_data, run_config
from rondo.predictor import Predictor
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


def predictor_of(model: nn.Module) -> Predictor:
    return Predictor(model, run_config(photo_data()))


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

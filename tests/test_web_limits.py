"""The page of `rondo web` and clients that mean it ill: it stays there for the others."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from commands import STUCK_S
from rondo.web import app, connection, line, photo, pixels, uploads
from web_pages import (
    Client,
    SweepingNetwork,
    answer_to,
    break_off,
    connected,
    head,
    portrait,
    predictor_of,
    received,
    response_on,
    scan_bomb,
    serving,
    training,
)

JSON, BYTES = "content-type: application/json", "content-type: application/octet-stream"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(predictor_of(SweepingNetwork())) as port:
        yield Client(port)


def post(path: str, kind: str, *headers: str) -> bytes:
    return head(f"POST {path}", kind, *headers)


def sized(path: str, kind: str, body: bytes) -> bytes:
    return post(path, kind, f"content-length: {len(body)}") + b"\r\n" + body


def chunked(path: str, kind: str, *chunks: bytes) -> bytes:
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return post(path, kind, "transfer-encoding: chunked") + b"\r\n" + pieces


def error_of(answer: tuple[int, bytes]) -> tuple[int, str]:
    status, body = answer
    return status, json.loads(body)["error"]


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + STUCK_S
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


# ---- connections ----


HALF = [
    b"",
    b"GET / HT",
    head("GET /"),
    post("/api/photo", BYTES, "content-length: 5000000") + b"\r\n" + bytes(1000),
    chunked("/api/photo", BYTES, b"abc"),
    head("GET /") + b"\r\n",  # answered, and kept
]


def test_clients_that_hold_connections_keep_nobody_out(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 20)
    patient = dict.fromkeys(connection.PATIENCE_SECONDS, 10.0 * STUCK_S)
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", patient)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(client.port, half)) for half in 20 * HALF]
        for _ in range(3):
            assert client.get("/")[0] == 200
        assert client.photo(portrait())[0] == 200
        for first in held[:60]:
            received(first)  # fails where the server has kept it


def test_a_request_that_is_answered_is_not_given_up_for_new_connections(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def drawing(_predictor: object, number: int) -> bytes:
        begun.set()
        go_on.wait(STUCK_S)
        return b"%d" % number

    monkeypatch.setattr(photo, "drawing", drawing)
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 5)
    with connected(client.port, head("GET /api/drawing/3", "connection: close") + b"\r\n") as asked:
        begun.wait(STUCK_S)
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(connected(client.port, b"GET"))
            assert client.get("/")[0] == 200
            go_on.set()
            assert received(asked).endswith(b"\r\n\r\n3")


@pytest.mark.parametrize("begin", HALF, ids=["none", "word", "head", "body", "chunk", "kept"])
def test_a_connection_ends_however_slowly_bytes_come(
    client: Client, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    waits = {"request": 0.2, "body": 0.2, "reading": 0.2}
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", waits)
    with connected(client.port, begin) as slow:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < STUCK_S:
                slow.sendall(b"a")
                time.sleep(0.02)
        assert time.monotonic() - began < STUCK_S


def test_a_client_that_does_not_read_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.PATIENCE_SECONDS, "reading", 0.2)
    many = 1_000_000 * (head("GET /static/style.css") + b"\r\n")
    with connected(client.port) as deaf, pytest.raises(ConnectionError):
        deaf.sendall(many)


# ---- bodies ----


def test_a_body_that_does_not_end_is_told_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_SECONDS", 0.2)
    for begin in (HALF[3], HALF[4]):
        assert error_of(answer_to(client.port, begin)) == (
            408,
            "nothing whole arrived in 0.2 seconds",
        )


def test_of_bodies_that_are_too_much_for_memory_the_oldest_is_dropped(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "HELD_BYTES", 80_000)
    begin = post("/api/photo", BYTES, "content-length: 90000") + b"\r\n" + bytes(60_000)
    with connected(client.port, begin) as oldest:
        time.sleep(0.2)
        assert client.photo(portrait("BMP"))[0] == 200
        response = response_on(oldest)
        assert (response.status, response.headers["retry-after"]) == (503, "5")
    assert client.photo(bytes(79_000))[0] == 422  # what was dropped is not counted any more


def test_what_is_too_long_is_refused_before_it_is_sent(client: Client) -> None:
    wanted = "the file is larger than 20,000,000 bytes; save a smaller copy"
    begin = post("/api/photo", BYTES, f"content-length: {10**12}") + b"\r\n"
    assert error_of(answer_to(client.port, begin)) == (413, wanted)
    begin = post("/api/train", JSON, "content-length: 1000001") + b"\r\n"
    assert answer_to(client.port, begin)[0] == 413


def test_what_does_not_say_its_length_is_read_up_to_the_limit(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = portrait()
    pieces = [contents[first : first + 99] for first in range(0, len(contents), 99)]
    status, body = answer_to(client.port, chunked("/api/photo", BYTES, *pieces, b""))
    assert (status, json.loads(body)["size"]) == (200, 32)
    monkeypatch.setattr(app, "SETTINGS_BYTES", 1000)
    assert answer_to(client.port, chunked("/api/train", JSON, bytes(1001)))[0] == 413


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post("/api/photo", BYTES) + b"\r\n", 422),
        (post("/api/train", JSON) + b"\r\n", 400),
        (post("/api/train", JSON, "content-length: -1") + b"\r\n", 400),
        (post("/api/train", JSON, "content-length: two") + b"\r\n", 400),
        (post("/api/train", JSON, "content-length: 2", "content-length: 3") + b"\r\n", 400),
        (post("/api/train", JSON, "transfer-encoding: gzip") + b"\r\n", 400),
        (post("/api/train", JSON, "transfer-encoding: chunked") + b"\r\nzz\r\n", 400),
        (sized("/api/train", "content-type: multipart/form-data; boundary=a", b"--b"), 415),
        (sized("/api/photo", "content-type: multipart/form-data; boundary=a", b"--b"), 415),
        (sized("/api/photo", "x: y", b"a"), 415),
        (sized("/api/train", "content-type: \xff", b"{}"), 415),
        (sized("/api/train", "content-type: application/json; charset=utf-8", b"{}"), 422),
    ],
)
def test_bodies_of_another_form_are_refused(
    client: Client, request_bytes: bytes, status: int
) -> None:
    assert answer_to(client.port, request_bytes)[0] == status
    assert client.get("/")[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"task":' * 10_000,
        b'{"task": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"task": {}}',
        b'{"length": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\xfd",
        b"null",
        b"",
    ],
    ids=["deep", "deep objects", "less deep", "nested", "digits", "no text", "null", "empty"],
)
def test_settings_that_cannot_be_read_are_malformed(client: Client, body: bytes) -> None:
    status, message = error_of(answer_to(client.port, sized("/api/train", JSON, body)))
    assert status == 400
    assert message.startswith("the request must ")
    assert len(message) < 200


@pytest.mark.parametrize("value", ["\ud800", "\0", "a" * 10**5, float("nan"), float("inf"), 1e400])
def test_words_and_numbers_of_any_kind_are_answered(client: Client, value: object) -> None:
    key = "task" if isinstance(value, str) else "length"
    status, message = error_of(
        answer_to(client.port, sized("/api/train", JSON, training(**{key: value})))
    )
    assert status == 422
    assert len(message) < 300


# ---- addresses, methods and headers ----


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/..\\app.py",
        "/static/%00",
        "/static/%ff%fe",
        "/static/" + "a" * 5000,
        "/static",
        "/static/",
        "//etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/cell/%ff/graph",
        "/api/drawing/-1",
        "/api/drawing/" + "9" * 5000,
        "/api/drawing/%d9%a3" + "0" * 9,
        "/api/cell/gru/unrolled?steps=" + "9" * 5000,
        "/api/cell/gru/unrolled?steps=%ff&steps=2&steps",
        "/api/cell/" + "g" * 9000 + "/graph",
    ],
)
def test_addresses_of_nothing_are_told_so(client: Client, path: str) -> None:
    answer = answer_to(client.port, head(f"GET {path}", "connection: close") + b"\r\n")
    assert answer[0] in (307, 404, 422), answer
    assert b"import" not in answer[1]
    assert b"root:" not in answer[1]


def test_methods_are_answered_with_those_that_there_are(client: Client) -> None:
    assert client.photo(portrait())[0] == 200
    for method in ("OPTIONS", "PUT", "DELETE", "BREW", "TRACE", "PATCH"):
        for path, allowed in (("/", {"GET", "HEAD"}), ("/api/photo", {"POST"})):
            with client.open(method, path) as response:
                assert response.status == 405
                assert set(response.headers["allow"].split(", ")) == allowed
    for path in ("/", "/static/main.js", "/api/about"):
        with client.open("HEAD", path) as response:
            assert (response.status, response.read()) == (200, b"")
            assert int(response.headers["content-length"]) > 100


@pytest.mark.parametrize(
    "request_bytes",
    [
        head("GET /", "x: " + "a" * 300_000) + b"\r\n",
        head("GET /", *(f"x{number}: y" for number in range(30_000))) + b"\r\n",
        b"GET /" + b"a" * 300_000,
        b"\xff\xfe\x00\r\n\r\n",
        b"GET / HTTP/x.y\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx\x00: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["long", "many", "line", "bytes", "version", "path", "name", "no host", "hosts", "http2"],
)
def test_heads_that_are_none_are_refused(client: Client, request_bytes: bytes) -> None:
    with connected(client.port) as other:
        with contextlib.suppress(ConnectionError):  # it may be ended before all is sent
            other.sendall(request_bytes)
        answer = received(other)
    assert answer[:12] in (b"HTTP/1.1 400", b"")
    assert client.get("/")[0] == 200


def test_an_upgrade_is_not_made(client: Client) -> None:
    with client.open("GET", "/", connection="upgrade", upgrade="websocket") as response:
        assert response.status == 200


# ---- work ----


class Held:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.go_on = threading.Event()

    def drawing(self, _predictor: object, number: int) -> bytes:
        self.begun.append(number)
        self.go_on.wait(STUCK_S)
        return b"%d" % number


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held()
    monkeypatch.setattr(photo, "drawing", held.drawing)
    yield held
    held.go_on.set()


def asked(number: int) -> bytes:
    return head(f"GET /api/drawing/{number}", "connection: close") + b"\r\n"


def test_requests_beyond_those_that_may_wait_are_turned_away(
    client: Client, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "MAX_WAITING", 3)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connected(client.port, asked(n))) for n in range(3)]
        wait_until(lambda: len(held.begun) == 1)
        time.sleep(0.3)  # until the others wait too
        with client.open("GET", "/api/drawing/9") as response:
            assert (response.status, response.headers["retry-after"]) == (503, "5")
            assert json.loads(response.read()) == {"error": "too many requests at once; try again"}
        assert client.get("/")[0] == client.get("/static/main.js")[0] == 200
        held.go_on.set()
        assert all(received(one).startswith(b"HTTP/1.1 200") for one in waiting)
    assert sorted(held.begun) == [0, 1, 2]
    assert client.get("/api/drawing/9") == (200, b"9")


def test_who_goes_away_leaves_the_line(
    client: Client, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "MAX_WAITING", 2)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(connected(client.port, asked(0)))
        wait_until(lambda: held.begun == [0])
        with connected(client.port, asked(1)) as leaving:
            assert still_waits(leaving)
            assert client.get("/api/drawing/2")[0] == 503

        waiting: list[socket.socket] = []

        def is_let_in() -> bool:
            waiting[:] = [stack.enter_context(connected(client.port, asked(3)))]
            return still_waits(waiting[0])

        wait_until(is_let_in)
        held.go_on.set()
        assert received(first).endswith(b"0")
        assert received(waiting[0]).endswith(b"3")
    assert held.begun == [0, 3]


def still_waits(connection: socket.socket) -> bool:
    """Whether no answer came in half a second."""
    connection.settimeout(0.5)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(STUCK_S)
    return False


def test_a_lack_of_memory_is_answered_and_the_page_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_predictor: object, _number: int) -> bytes:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(app.photo, "drawing", fail)
        with client.open("GET", "/api/drawing/1") as response:
            assert (response.status, response.headers["retry-after"]) == (503, "5")
            message = "there is too little memory now; try again"
            assert json.loads(response.read()) == {"error": message}
    assert client.get("/api/drawing/1")[0] == 200


def test_work_that_takes_too_long_is_told_so_and_keeps_its_turn(
    client: Client, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "WORK_SECONDS", 0.2)
    with client.open("GET", "/api/drawing/1") as response:
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        message = "no answer was ready after 0.2 seconds; try again"
        assert json.loads(response.read()) == {"error": message}
    assert client.get("/api/drawing/2")[0] == 503
    monkeypatch.setattr(line, "WORK_SECONDS", 60)
    held.go_on.set()
    assert client.get("/api/drawing/3") == (200, b"3")
    assert held.begun == [1, 3]


def test_a_photo_that_takes_too_long_to_decode_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.photo(scan_bomb(2))[0] == 200  # few enough to be a picture
    monkeypatch.setattr(pixels, "DECODE_SECONDS", 1)
    began = time.monotonic()
    status, found = client.photo(scan_bomb(100_000))
    assert status == 422
    assert "the picture takes longer than 1 seconds to decode; save" in found["error"]
    assert time.monotonic() - began < STUCK_S / 4  # it would take a quarter of an hour
    monkeypatch.setattr(pixels, "DECODE_SECONDS", 20)
    assert client.photo(portrait())[0] == 200


def test_a_decoder_that_breaks_ends_alone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(pixels, "read_twice", break_off)
        status, found = client.photo(portrait())
    assert status == 422
    assert "the picture breaks its decoder" in found["error"]
    assert client.photo(portrait())[0] == 200


def test_a_photo_is_refused_in_the_same_words_from_the_other_process(client: Client) -> None:
    assert client.photo(b"not a picture") == (
        422,
        {
            "error": "the uploaded photo: is not a picture in one of the formats JPEG, PNG, WEBP, "
            "GIF, BMP; convert it to JPEG or PNG"
        },
    )


def test_a_training_has_an_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "TRAINING_SECONDS", 0)
    with client.open("POST", "/api/train", training(), content_type="application/json") as response:
        lines = [json.loads(text) for text in response.read().splitlines()]
    assert lines[1:] == [{"error": "it is stopped after 0 minutes; use `rondo train`"}]


def test_a_piece_of_a_training_that_takes_too_long_is_told(
    client: Client, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client.open("POST", "/api/train", training(), content_type="application/json") as response:
        assert "description" in json.loads(response.readline())
        monkeypatch.setattr(line, "WORK_SECONDS", 0.5)
        with connected(client.port, asked(1)):
            lines = [json.loads(text) for text in response.read().splitlines()]
    assert lines[-1] == {"error": "no answer was ready after 0.5 seconds; try again"}

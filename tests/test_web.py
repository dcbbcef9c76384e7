"""The page of `rondo web`, without a browser: what it answers, refuses and forgets."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import rondo
from commands import Run, check_answered_in_one_line, command_that_is_ended
from photo_runs import TinyNetwork
from rondo.cells.named import NAMED_CELLS
from rondo.data.pictures import PhotoError
from rondo.errors import RunError
from rondo.extras import how_to_install
from rondo.looks.flow import GradientFlow
from rondo.looks.sweeps import DIRECTIONS, sweeps
from rondo.training.request import Request
from rondo.web import app, photo
from rondo.web.cells import STAGES, equations, layer_of, shown
from rondo.web.live import LiveTraining, flow_numbers, tasks
from rondo.web.photo import look
from rondo.web.requests import stage_of, training_of
from rondo.web.serve import hosts_of, listening
from rondo.web.threads import NAME, can_watch
from rondo.web.words import as_html
from test_photo_files import png_header
from web_pages import Client, SweepingNetwork, portrait, predictor_of, serving, training


def picture(address: str) -> Image.Image:
    """A picture that is embedded in an address."""
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


# ---- a photo ----


def test_the_answer_is_that_of_the_predictor() -> None:
    predictor = predictor_of(SweepingNetwork())
    found = look(predictor, portrait())
    (expected,) = predictor.predict([io.BytesIO(portrait())])
    assert found["answer"] == expected.answer
    assert dict(found["probabilities"]) == pytest.approx(expected.probabilities)
    assert found["size"] == 32
    assert picture(found["seen"]).size == (32, 32)
    assert picture(found["photo"]).size == picture(found["saliency"]).size == (384, 384)


def test_sweeps_are_scaled_between_their_least_and_greatest() -> None:
    predictor = predictor_of(SweepingNetwork())
    found = look(predictor, portrait())
    seen = torch.from_numpy(np.array(picture(found["seen"]))).permute(2, 0, 1)
    expected = sweeps(predictor.model, seen.unsqueeze(0))
    (layer,) = found["layers"]
    assert layer["name"] == "features.2"
    assert [sweep["direction"] for sweep in layer["sweeps"]] == list(DIRECTIONS)
    for sweep, exact in zip(layer["sweeps"], expected, strict=True):
        span = sweep["high"] - sweep["low"]
        strength = torch.tensor(sweep["strength"]) * span / 255 + sweep["low"]
        torch.testing.assert_close(strength, exact.strength[0], atol=span / 400, rtol=0)


def test_a_network_without_spatial_layers_has_no_sweeps() -> None:
    assert look(predictor_of(TinyNetwork()), portrait())["layers"] == []


TURNED = Image.Exif()
TURNED[0x0112] = 6
MORE = [Image.new("RGB", (90, 120), "red")]


@pytest.mark.parametrize(
    "contents",
    [
        portrait("JPEG"),
        portrait("WEBP"),
        portrait("BMP"),
        portrait("GIF", save_all=True, append_images=MORE),
        portrait("JPEG", exif=TURNED),
        portrait(size=(32, 2000)),
    ],
    ids=["jpeg", "webp", "bmp", "animation", "turned", "narrow"],
)
def test_photos_of_many_kinds_are_answered(contents: bytes) -> None:
    assert look(predictor_of(TinyNetwork()), contents)["answer"] in ("female", "male")


@pytest.mark.parametrize("mode", ["L", "CMYK", "1"])
def test_photos_of_other_colours_are_answered(mode: str) -> None:
    stream = io.BytesIO()
    Image.radial_gradient("L").convert(mode).save(stream, "JPEG" if mode != "1" else "PNG")
    assert look(predictor_of(TinyNetwork()), stream.getvalue())["answer"] in ("female", "male")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "the file is empty; copy or download it again"),
        (b"not a picture", "is not a picture in one of the formats JPEG, PNG, WEBP, GIF, BMP"),
        (portrait("TIFF"), "convert it to JPEG or PNG"),
        (portrait("JPEG")[:-500], "the picture is damaged or cut off"),
        (png_header(60_000, 60_000), "more than 50,000,000 pixels; save a smaller copy"),
        (png_header(10_000, 5_001), "more than 50,000,000 pixels; save a smaller copy"),
        (portrait(size=(31, 40)), "only 31 x 40 pixels; take one of 32 x 32 or more"),
        (bytes(20_000_001), "the file is larger than 20,000,000 bytes; save a smaller copy"),
    ],
    ids=["empty", "text", "tiff", "cut", "bomb", "many pixels", "tiny", "many bytes"],
)
def test_what_is_no_photo_is_refused_in_words(contents: bytes, message: str) -> None:
    with pytest.raises(PhotoError, match=message):
        look(predictor_of(TinyNetwork()), contents)


def test_the_limits_are_said() -> None:
    words = photo.limits_text()
    for part in ("JPEG, PNG, WEBP, GIF, BMP", "20 MB", "50 million pixels", "32 x 32"):
        assert part in words


def test_drawings_to_try_are_photos_within_the_limits() -> None:
    predictor = predictor_of(TinyNetwork())
    assert photo.drawing(predictor, 1) != photo.drawing(predictor, 2)
    assert look(predictor, photo.drawing(predictor, 1))["answer"] in ("female", "male")
    with pytest.raises(RunError, match="started without such a run"):
        photo.drawing(None, 1)


# ---- cells ----


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_of_a_cell_is_shown(stage: str) -> None:
    text = shown("gru", stage, 2)
    assert ("#include" if stage == "source" else "<svg") in text
    if stage == "unrolled":
        assert "y(2)" in text
        assert "y(3)" not in text


def test_a_source_without_a_compiler_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    refused = pytest.raises(RunError, match=r"source of mgu cannot be shown: .*'no-such-compiler'")
    with warnings.catch_warnings(), refused:
        warnings.simplefilter("ignore", rondo.EngineWarning)  # given once in a process
        shown("mgu", "source", 1)
    layer_of.cache_clear()
    rondo.clear_cache()


def test_every_cell_has_equations() -> None:
    for name in NAMED_CELLS:
        words = equations(name)
        assert "h(t)" in words or "=" in words
        assert "Args:" not in words
        assert ":class:" not in words
        assert not any(line.lstrip().startswith("|") for line in as_html(words).splitlines())


def test_tables_of_a_docstring_are_tables_and_all_is_escaped() -> None:
    assert as_html("h = <x> & y\n\n| a | b |\n|---|---|\n| 1 | <i>2 |") == (
        "<p>h = &lt;x&gt; &amp; y</p>\n"
        '<table><tr><th scope="col">a</th><th scope="col">b</th></tr>'
        '<tr><th scope="row">1</th><td>&lt;i&gt;2</td></tr></table>'
    )
    assert as_html(equations("lstm-nig")).count("<tr>") == 10


# ---- trainings ----


def request(length: int, **recipe: Any) -> Request:
    """What is asked of a training on sequences of a length."""
    return Request({"length": length}, recipe=recipe, threads=1)


def test_a_training_that_diverges_says_so_in_its_last_piece() -> None:
    live = LiveTraining("adding", request(20, hidden_size=4, cell="relu"))
    live.advance()
    with torch.no_grad():
        for parameter in live.trainer.model.parameters():
            parameter.fill_(1e30)
    piece = live.advance()
    assert (live.is_done, piece["loss"]) == (True, None)
    assert re.fullmatch(
        r"the training has diverged: the loss of step \d+ is (nan|inf); take a learning rate below "
        r"[\d.]+",
        piece["diverged"],
    )


def test_the_tasks_are_those_that_need_no_file() -> None:
    assert set(tasks()) == {
        *("adding", "multiplication", "temporal-order-6a", "temporal-order-6b"),
        *("reber", "copy", "parity"),
    }
    assert tasks()["adding"]["length"] == 30
    assert tasks()["reber"]["length"] is None


def test_a_training_tells_how_it_goes() -> None:
    live = LiveTraining("parity", request(4, hidden_size=3, num_sequences=4096, cell="gru"))
    first = live.advance()
    assert (first["sequences"], first["loss"], first["checks"]) == (0, None, [])
    assert len(first["flow"]["norms"]["h"]) == 1 + live.probe.inputs.shape[1]
    pieces = [first]
    while not live.is_done:
        pieces.append(live.advance())
    assert pieces[-1]["sequences"] == live.trainer.progress.num_seen
    assert all(piece["loss"] > 0 for piece in pieces[1:])
    assert [check["sequences"] for piece in pieces for check in piece["checks"]][-1] <= 4096
    assert pieces[-1]["flow"] is not None
    json.dumps(pieces, allow_nan=False)


def test_the_gradient_is_that_of_the_last_output() -> None:
    live = LiveTraining("adding", request(20, hidden_size=3, cell="tanh"))
    norms = live.advance()["flow"]["norms"]["h"]
    model = live.trainer.model
    h = torch.zeros(16, 3, requires_grad=True)
    y, _ = model(live.probe.inputs, (h,), lengths=live.probe.lengths)
    (grad,) = torch.autograd.grad(y.sum() / y.numel() ** 0.5, h)
    assert norms[0] == pytest.approx(grad.norm().item(), rel=1e-4)


def test_numbers_that_json_cannot_say_are_left_out() -> None:
    flow = GradientFlow({"h": torch.tensor([float("nan"), 2.0])}, {"z": torch.tensor([[0.1, 0.9]])})
    assert flow_numbers(flow) == {"norms": {"h": [None, 2.0]}, "gates": {"z": [[90], [10]]}}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"{", "the request must be a JSON object, but is none"),
        (b"[]", "the request must be a JSON object, got list"),
        (b"{}", "task must be a word, got None"),
        (training(task="ading"), "there is no task 'ading'; did you mean 'adding'"),
        (training(task="music"), "there is no task 'music'"),
        (training(cell=3), "cell must be a word, got 3"),
        (training(length=301), "the length must be a whole number from 1 to 300, got 301"),
        (training(length=2.5), "the length must be a whole number from 1 to 300, got 2.5"),
        (training(hidden_size=True), "hidden size must be a whole number from 1 to 128, got True"),
        (training(learning_rate=0), "the learning rate must be a number from 1e-05 to 1, got 0"),
        (training(task="a" * 10**5), "task must be a word, got 'a+[.]{3}a+'"),
        (training(learning_rate=10**4000), "number from 1e-05 to 1, got 10+[.]{3}0+"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(contents: bytes, message: str) -> None:
    with pytest.raises(RunError, match=message):
        training_of(contents)


def test_a_length_is_passed_to_tasks_that_have_one() -> None:
    assert training_of(training())[1].options == {"length": 3}
    assert training_of(training(task="reber"))[1].options == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gruu", "graph", "1"), "there is no cell 'gruu'; did you mean 'gru'"),
        (("gru", "graf", "1"), "there is no stage 'graf'; did you mean 'graph'"),
        (("gru", "unrolled", "9"), "the steps must be a whole number from 1 to 8, got '9'"),
        (("gru", "unrolled", "-1"), "the steps must be a whole number from 1 to 8, got '-1'"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(RunError, match=message):
        stage_of(*words)


# ---- requests ----


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(predictor_of(SweepingNetwork())) as port:
        yield Client(port)


def test_no_request_waits_for_the_start_of_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory lacks, a thread may end before it runs, and who started it waits for ever."""
    start, started = threading.Thread.start, []

    def noted(thread: threading.Thread) -> None:
        if not threading.current_thread().name.startswith(NAME):
            started.append(thread)  # not by what computes: then the loop of events would wait
        start(thread)

    with serving(predictor_of(SweepingNetwork())) as port:
        monkeypatch.setattr(threading.Thread, "start", noted)
        client = Client(port)
        for path in ("/", "/static/main.js", "/api/about", "/api/cell/gru/graph", "/api/drawing/3"):
            assert client.get(path)[0] == 200
        assert not started
        assert client.photo(portrait())[0] == 200
        assert not started or not can_watch()


def test_the_page_names_no_other_machine_and_says_what_it_is_not_for(client: Client) -> None:
    for path in ("/", *(f"/static/{file.name}" for file in app.STATIC.glob("*.[!h]*"))):
        status, contents = client.get(path)
        text = contents.decode().replace("http://www.w3.org/2000/svg", "")
        assert status == 200
        assert "://" not in text
    page = client.get("/")[1].decode()
    assert "Never to decide anything about a person" in page
    assert "No photo is kept" in page


def test_every_response_lets_nothing_in_and_is_not_kept(client: Client) -> None:
    for path in ("/", "/static/main.js", "/api/about", "/absent"):
        with client.open("GET", path) as response:
            policy = response.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["referrer-policy"] == "no-referrer"
            response.read()


def test_no_file_of_a_photo_is_left_or_made(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = Image.effect_noise((1500, 1500), 90)
    stream = io.BytesIO()
    noise.save(stream, "PNG")
    assert len(stream.getvalue()) > 2_000_000
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client.photo(portrait())  # compiles, and keeps the kernels
    predictor = predictor_of(SweepingNetwork())
    watch_writing()
    WRITTEN.clear()
    status, found = client.photo(stream.getvalue())
    assert status == 200
    assert found["answer"] in ("female", "male")
    assert list(tmp_path.iterdir()) == []
    look(predictor, stream.getvalue())  # the page decodes in another process
    assert WRITTEN == []
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in WRITTEN


WRITTEN: list[str] = []
"""The files that were opened to write since `watch_writing`."""


@functools.cache
def watch_writing() -> None:
    """Begins to note files that are opened to write; such a hook stays for good."""

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            WRITTEN.append(str(arguments[0]))

    sys.addaudithook(note)


def test_a_photo_beyond_the_limit_is_not_read_to_its_end(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo, "LIMITS", replace(photo.LIMITS, num_bytes=1000))
    assert client.photo(bytes(5000)) == (
        413,
        {"error": "the file is larger than 1,000 bytes; save a smaller copy"},
    )


def test_a_photo_must_be_sent_in_a_way_that_other_sites_cannot(client: Client) -> None:
    for media_type in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded"):
        status, found = client.post("/api/photo", portrait(), media_type)
        assert status == 415
        assert found == {"error": f"send it as application/octet-stream, not as {media_type}"}
    assert client.post("/api/train", training(), "text/plain")[0] == 415


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "localhost.evil:80", ""])
def test_a_name_that_is_not_this_server_is_turned_away(client: Client, host: str) -> None:
    assert client.get("/", host=host)[0] == 400


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1"])
def test_the_names_of_this_machine_are_let_in(client: Client, host: str) -> None:
    assert client.get("/", host=host)[0] == 200


def test_cells_are_answered_as_pictures_and_text(client: Client) -> None:
    status, contents = client.get("/api/cell/gru/unrolled?steps=2")
    assert (status, contents.decode()) == (200, shown("gru", "unrolled", 2))
    status, contents = client.get("/api/cell/lstm-nig/equations")
    assert (status, contents.decode()) == (200, as_html(equations("lstm-nig")))
    status, contents = client.get("/api/cell/grue/graph")
    assert (status, json.loads(contents)) == (
        422,
        {"error": "there is no cell 'grue'; did you mean 'gru'?"},
    )


def test_a_page_without_a_run_answers_no_photo() -> None:
    with serving(None) as port:
        assert json.loads(Client(port).get("/api/about")[1])["photo"] is None
        status, found = Client(port).photo(portrait())
        assert status == 422
        assert "started without a run" in found["error"]


def test_one_training_at_a_time_which_ends_when_its_window_is_closed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "TURN_SECONDS", 0.1)
    json_type = "application/json"
    with client.open("POST", "/api/train", training(length=300), content_type=json_type) as first:
        assert "parity: tanh, 2 units" in json.loads(first.readline())["description"]
        assert json.loads(first.readline())["sequences"] == 0
        assert json.loads(first.readline())["loss"] > 0
        with client.open("POST", "/api/train", training(), content_type=json_type) as second:
            lines = second.read().splitlines()
        assert [json.loads(line) for line in lines] == [
            {"error": "another window is training; stop it there first"}
        ]
        assert client.photo(portrait())[0] == 200  # takes its turn between two pieces
    monkeypatch.setattr(app, "TURN_SECONDS", 30)
    with client.open("POST", "/api/train", training(), content_type=json_type) as third:
        assert "description" in json.loads(third.readline())


# ---- the command ----


def test_help_names_what_it_must_not_be_used_for() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rondo", "web", "--help"], capture_output=True, text=True, check=True
    )
    words = " ".join(done.stdout.split())
    for part in ("rondo web last", "127.0.0.1", "not kept", "Not to be used to decide anything"):
        assert part in words


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "anyio"])
def test_a_missing_package_is_answered_with_what_to_install(package: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None; from rondo import cli; "
        "sys.exit(cli.main(['web']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"rondo: {package} is not installed; {how_to_install('web')}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("web absent", "there is no run folder absent"),
        ("web last", "there is no run in .*`rondo train TASK` makes one"),
        ("web --port 70000", "--port must be from 0 to 65535, but is 70000"),
        ("web --host 192.0.2.1", r"cannot listen at 192\.0\.2\.1:8000: .*give another --host"),
        ("web --prot 3", "did you mean '--port'"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words, message)


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RunError, match=f"cannot listen at 127.0.0.1:{port}: Address already"):
            listening("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", ["localhost", "127.0.0.1", "[::1]", "::1"]),
        ("localhost", ["localhost", "127.0.0.1", "[::1]", "::1"]),
        ("0.0.0.0", ["*"]),
    ],
)
def test_any_name_is_let_in_where_others_are_to_reach_the_page(host: str, names: list[str]) -> None:
    assert hosts_of(host) == names


def test_ctrl_c_ends_the_server_and_the_training_that_somebody_watches() -> None:
    with contextlib.ExitStack() as stack:

        def watches(line: str) -> bool:
            client = Client(int(line.rpartition(":")[2].partition("/")[0]))
            opened = client.open("POST", "/api/train", training(), content_type="application/json")
            watched = stack.enter_context(opened)
            return b"description" in watched.readline()

        code, rest = command_that_is_ended(["web", "--port", "0"], signal.SIGINT, 1.0, watches)
    assert code == 130
    assert rest.splitlines()[-1:] == ["interrupted"]
    assert "Traceback" not in rest
    assert "Cancel" not in rest

"""The page of `rondo web` under many clients, good and bad: latency, statuses and memory over time.

A short run on drawings is trained, and the page is served by a process of its own, as a user starts
it. Clients ask one thing after the other, drawn at random; who is told to try again later waits as
long as it is told. Beside them somebody opens half-open connections by the thousand.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kept_runs import note, write_page
from rondo.system.columns import markdown_table
from serving_clients import BAD, GOOD, Answer, Client

SAMPLE_S = 2.0
HALF_OPEN = 3000
"""Half-open connections that are tried at once, again every half minute."""

TRAINING = ["--model", "sweep_net", "--num-drawn", "400", "--epochs", "1", "--image-size", "64"]

NOTES = """\
{clients} clients for {minutes:g} minutes, each with one request after the other, good and bad
ones drawn at random, and one more that opens {half_open:,} half-open connections every half minute
and keeps them. A 503 asks to wait 5 seconds, which the clients do. Server and clients share the
cores, so latencies are those of a machine that is busy throughout. "Ended" is a connection that
the server ended without an answer, "left" one that the client ended; neither "left" nor 503 counts
among the latencies. "Leaves" are clients that send a photo and go away before the answer.

Memory is what is resident, in MB (a million bytes), the mean of samples every {sample_s:g} seconds
in each span: of the server, and of the process in which it decodes photos.
"""


@dataclass
class Log:
    """What the clients saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, answer: Answer, seconds: float) -> None:
        with self.lock:
            self.statuses[name][answer.status] += 1
            if answer.status[:3] not in ("503", "left"):
                self.seconds[name].append(seconds)


@dataclass(frozen=True)
class Sample:
    """What the server held at a time, in bytes and numbers."""

    at_s: float
    server_bytes: int
    decoder_bytes: int
    num_files: int
    num_threads: int


def be_client(number: int, port: int, end: float, log: Log) -> None:
    """Ask until the time is over."""
    client = Client(port, random.Random(number))
    wishes = {**GOOD, **BAD}
    while time.monotonic() < end:
        (wish,) = client.random.choices(list(wishes), list(wishes.values()))
        began = time.monotonic()
        try:
            answer = wish(client)
        except (OSError, EOFError) as error:
            answer = Answer(f"none ({type(error).__name__})")
        log.add(wish.__name__, answer, time.monotonic() - began)
        time.sleep(max(0.0, min(answer.retry_s, end - time.monotonic())))


def hold_connections(port: int, num_connections: int, end: float, log: Log) -> None:
    """Open half-open connections and keep them, again and again."""
    client = Client(port, random.Random(-1))
    while time.monotonic() < end:
        with contextlib.ExitStack() as stack:
            for _ in range(num_connections):
                began = time.monotonic()
                try:
                    stack.enter_context(client.sent(b"POST /api/photo HTTP/1.1\r\nHost: loc"))
                except OSError as error:
                    log.add("half_open", Answer(type(error).__name__), time.monotonic() - began)
                else:
                    log.add("half_open", Answer("opened"), time.monotonic() - began)
            time.sleep(max(0.0, min(30.0, end - time.monotonic())))


def sample(pid: int, at_s: float) -> Sample:
    process = Path(f"/proc/{pid}")
    children = {
        child for task in process.glob("task/*/children") for child in task.read_text().split()
    }
    return Sample(
        at_s,
        resident_bytes(process),
        sum(resident_bytes(Path(f"/proc/{child}")) for child in children),
        len(list((process / "fd").iterdir())),
        len(list((process / "task").iterdir())),
    )


def resident_bytes(process: Path) -> int:
    """0 for a process that is gone."""
    try:
        status = (process / "status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.partition("VmRSS:")[2].split()[0]) if "VmRSS:" in status else 0


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Trains a run and serves the page; gives the process and the file of what it says."""
    command, run = [sys.executable, "-m", "rondo"], str(folder / "run")
    note("a short run is trained")
    subprocess.run(
        [*command, "train", "photo", *TRAINING, "--run", run],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    told = folder / "told.txt"
    with told.open("w") as file:
        server = subprocess.Popen([*command, "web", run, "--port", "0"], stderr=file, cwd=folder)
    try:
        while "/  (" not in told.read_text():
            if server.poll() is not None:
                raise SystemExit(f"the page did not start: {told.read_text()}")
            time.sleep(0.1)
        yield server, told
    finally:
        server.terminate()
        server.wait(timeout=60)


def port_of(told: Path) -> int:
    return int(told.read_text().partition("/  (")[0].rpartition(":")[2])


def ask_all(
    server: subprocess.Popen[bytes], port: int, num_clients: int, minutes: float, half_open: int
) -> tuple[Log, list[Sample]]:
    """Lets the clients ask; returns what they saw, and what the server held meanwhile."""
    log, samples, began = Log(), [], time.monotonic()
    end = began + 60 * minutes
    workers = [
        threading.Thread(target=be_client, args=(number, port, end, log))
        for number in range(num_clients)
    ]
    workers.append(threading.Thread(target=hold_connections, args=(port, half_open, end, log)))
    for worker in workers:
        worker.start()
    while time.monotonic() < end and server.poll() is None:
        samples.append(sample(server.pid, time.monotonic() - began))
        time.sleep(SAMPLE_S)
    for worker in workers:
        worker.join()
    return log, samples


def requests_table(log: Log, kinds: dict[Callable[[Client], Answer], int]) -> str:
    rows = []
    for name in [kind.__name__ for kind in kinds]:
        counts = log.statuses[name]
        told = ", ".join(f"{status}: {number:,}" for status, number in counts.most_common())
        times = sorted(log.seconds[name])
        shares = [quantile(times, share) for share in (0.5, 0.9, 0.99, 1.0)]
        rows.append([name.replace("_", " "), f"{counts.total():,}", *shares, told])
    head = ["request", "number", "median", "90 %", "99 %", "longest", "statuses"]
    return markdown_table(head, rows)


def quantile(times: list[float], share: float) -> str:
    """A quantile of sorted times, in ms."""
    return f"{1000 * times[math.ceil(share * len(times)) - 1]:,.0f} ms" if times else "-"


def memory_table(samples: list[Sample], num_spans: int = 10) -> str:
    rows = []
    for number in range(num_spans):
        span = samples[
            number * len(samples) // num_spans : (number + 1) * len(samples) // num_spans
        ]
        if span:
            rows.append(
                [
                    f"{span[0].at_s / 60:.1f} to {span[-1].at_s / 60:.1f} min",
                    *(f"{mean(span, key) / 1e6:.1f}" for key in ("server_bytes", "decoder_bytes")),
                    *(
                        str(max(getattr(one, key) for one in span))
                        for key in ("num_files", "num_threads")
                    ),
                ]
            )
    return markdown_table(
        ["time", "server, MB", "decoder, MB", "open files, most", "threads, most"], rows
    )


def mean(samples: list[Sample], key: str) -> float:
    return sum(getattr(one, key) for one in samples) / len(samples)


def faults(log: Log, samples: list[Sample], code: int | None) -> list[str]:
    """What must not be: a server that is gone or failed, a growth by more than a tenth."""
    found = [] if code is None else [f"the server ended with {code}"]
    for name, counts in log.statuses.items():
        wrong = [status for status in counts if status.startswith("5") and status != "503"]
        found += [f"{name} was answered with {status}" for status in wrong]
    half = len(samples) // 2
    before, after = (
        mean(part, "server_bytes") for part in (samples[half // 2 : half], samples[-(half // 2) :])
    )
    if after > 1.1 * before:
        found.append(f"memory grew from {before / 1e6:.0f} to {after / 1e6:.0f} MB")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most_files, 65_536), most_files))
    half_open = min(HALF_OPEN, most_files // 2)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (server, told):
        log, samples = ask_all(
            server, port_of(told), arguments.clients, arguments.minutes, half_open
        )
        found = faults(log, samples, server.poll())
        if "Traceback" in told.read_text():
            found.append(told.read_text())
    notes = NOTES.format(
        clients=arguments.clients,
        minutes=arguments.minutes,
        half_open=half_open,
        sample_s=SAMPLE_S,
    )
    sections = [
        f"## Good requests\n\n{requests_table(log, GOOD)}",
        f"## Bad requests\n\n{requests_table(log, BAD)}",
        f"## Half-open connections\n\n{opened(log)}",
        f"## Memory\n\n{memory_table(samples)}",
        f"## What must not be\n\n{'; '.join(found) or 'Nothing of it came about.'}",
    ]
    write_page(arguments.output / "serving.md", "The page under load", notes, sections, None)
    return 1 if found else 0


def opened(log: Log) -> str:
    counts, times = log.statuses["half_open"], sorted(log.seconds["half_open"])
    told = ", ".join(f"{status}: {number:,}" for status, number in counts.most_common())
    median, longest = quantile(times, 0.5), quantile(times, 1.0)
    return f"{told}. To open one took {median} in the median, {longest} at most."


if __name__ == "__main__":
    sys.exit(main())

"""An address becomes a server of the page."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from rondo.errors import RunError
from rondo.tasks.registry import folder_of
from rondo.training.definition import at_place
from rondo.web.app import make_app
from rondo.web.connection import Connection
from rondo.web.photo import Predictor

BACKLOG = 100
"""Connections that are taken before others are served; each is an open file."""


def serve(run: Path | None, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serves the page until it is interrupted.

    Args:
        run: The folder of a run on photos; None for a page without photos.
        host: The address to listen at.
        port: The port; 0 for any that is free.
        say: Is given each line for the user.

    Raises:
        RunError: If the run or the address cannot be used.
    """
    predictor = None if run is None else predictor_of(run)
    with listening(host, port) as listener:
        number = listener.getsockname()[1]
        say(f"http://{_written(host)}:{number}/  (Ctrl-C ends it)")
        if not is_loopback(host):
            say("anybody who reaches this machine can use the page: it asks for no password")
        server_of(make_app(predictor, hosts_of(host))).run(sockets=[listener])


def predictor_of(run: Path) -> Predictor:
    """Returns what answers about photos for the page.

    Raises:
        RunError: If the run cannot be used, or is not on photos.
    """
    definition = folder_of(run).definition
    kind = None if definition.predict is None else at_place(definition.predict.place)
    if kind is None or not hasattr(kind, "prediction_of"):
        raise RunError(f"{run} is a run of {definition.name}; the page looks at photos")
    predictor: Predictor = kind(run)
    return predictor


def server_of(app: Starlette) -> uvicorn.Server:
    """Returns a server that writes no log of requests, but tells of failures of its own."""
    logging.getLogger("uvicorn.error").addFilter(_is_failure)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            access_log=False,
            log_level="error",
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=1,
        )
    )


def listening(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Raises:
        RunError: If the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise RunError(
            f"cannot listen at {_written(host)}:{port}: {error.strerror or error}; give another "
            "--host or --port"
        ) from error


def hosts_of(host: str) -> list[str]:
    """Returns the names that a server at an address goes by.

    A page of another site can make its own name mean this machine; it is then sent such a name.
    """
    return ["localhost", "127.0.0.1", "[::1]", "::1"] if is_loopback(host) else ["*"]


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone.

    Example:
        >>> from rondo.web.serve import is_loopback
        >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_failure(record: logging.LogRecord) -> bool:
    """Whether there is something to tell; not so of requests that are cut off at the end."""
    is_cut_off = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not (is_cut_off or record.msg.startswith("Cancel "))


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host

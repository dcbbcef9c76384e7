"""Small files of series for tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path


def write(path: Path, lines: Iterable[str]) -> Path:
    """Writes lines to a file; returns its path."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def sensor_rows(num_series: int = 12, num_steps: int = 20, *, first: int = 0) -> list[str]:
    """Rows `id,time,ax,ay,label` of slow waves (`walk`) and fast ones (`run`)."""
    rows = []
    for number in range(first, first + num_series):
        name, pace = ("walk", 0.3) if number % 2 == 0 else ("run", 1.3)
        for step in range(num_steps + number % 3):
            ax, ay = math.sin(pace * step + number), math.cos(pace * step + number)
            rows.append(f"s{number},{step},{ax:.4f},{ay:.4f},{name}")
    return rows


def sensors(path: Path, rows: Sequence[str] | None = None) -> Path:
    """A table of sensors with a class for each series."""
    return write(path, ["id,time,ax,ay,label", *(sensor_rows() if rows is None else rows)])


def sales_rows(num_shops: int = 3, num_months: int = 60) -> list[str]:
    """Rows `shop,month,price,sales` with a season of a year."""
    rows = []
    for shop in range(num_shops):
        for month in range(num_months):
            price = 2 + (month * 7 + shop) % 5 / 10
            season = 10 * math.sin(2 * math.pi * month / 12)
            sales = 100 * (shop + 1) + season - 5 * price + (month * 13 % 7) / 7
            rows.append(f"shop{shop},{2015 + month // 12}-{month % 12 + 1:02d},{price},{sales:.3f}")
    return rows


def shops(path: Path, rows: Sequence[str] | None = None) -> Path:
    """A table of monthly sales by shop."""
    return write(path, ["shop,month,price,sales", *(sales_rows() if rows is None else rows)])

"""Tables in Parquet, read by pyarrow, which the extra `parquet` installs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rondo.extras import how_to_install
from rondo.tasks.series.form import check_number_of_columns
from rondo.tasks.series.tables import Table


def read_parquet(path: Path) -> Table:
    """Returns the table of a Parquet file.

    Raises:
        ValueError: Where it is none, or a column is neither numbers, dates nor words.
        OSError: Where it cannot be read.
        ModuleNotFoundError: Where pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"reading {path.name} needs pyarrow, which is not installed: "
            f"{how_to_install('parquet')}; or save the table as CSV",
            name="pyarrow",
        ) from error
    with path.open("rb") as stream:
        try:
            file = parquet.ParquetFile(stream)
            check_number_of_columns(path, len(file.schema_arrow))
            read = file.read()
        except ArrowException as error:
            raise ValueError(f"{path} is no Parquet file that can be read: {error}") from error
    columns = {name: _column(path, name, read[name]) for name in read.column_names}
    return Table(path, columns)


def _column(path: Path, name: str, column: Any) -> np.ndarray | list[str]:
    """A column as an array of numbers or dates, or as words; what is missing is NaN, NaT or ""."""
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column = column.combine_chunks().dictionary_decode()
        kind = column.type
    if types.is_date(kind) or types.is_timestamp(kind):
        return np.array(column.to_numpy(), dtype="datetime64[s]")
    if types.is_integer(kind) and column.null_count == 0:
        return np.array(column.to_numpy())
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or (
        types.is_boolean(kind) or types.is_null(kind)
    ):  # fmt: skip
        held = (np.nan if value is None else float(value) for value in column.to_pylist())
        return np.fromiter(held, np.float64, len(column))
    if types.is_string(kind) or types.is_large_string(kind):
        return ["" if value is None else value for value in column.to_pylist()]
    raise ValueError(
        f"{path}: the column {name!r} holds {kind}; columns are numbers, dates or words"
    )

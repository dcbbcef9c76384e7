"""Series from files: CSV, Parquet, NPZ, .ts and .tsf, good ones and broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rondo.tasks.series import parquet
from rondo.tasks.series.files import read_new, read_series
from rondo.tasks.series.form import Roles
from series_files import sales_rows, sensor_rows, sensors, shops, write


def test_a_table_of_sensors_has_a_class_for_each_series(tmp_path: Path) -> None:
    found = read_series(sensors(tmp_path / "sensors.csv"))
    assert found.columns == ("ax", "ay")
    assert found.labels == "words"
    assert [one.label for one in found.series[:2]] == ["walk", "run"]
    assert [len(one) for one in found.series[:4]] == [20, 21, 22, 20]
    assert found.series[0].values[0].tolist() == [0.0, 1.0]
    assert found.roles == Roles("id", "time", ("label",))
    assert "told apart by the column 'id'" in found.notes[0]


def test_a_table_of_sales_is_a_forecast_with_its_dates(tmp_path: Path) -> None:
    found = read_series(shops(tmp_path / "sales.csv"), Roles(id="shop", target=("sales",)))
    assert found.labels is None
    assert found.columns == ("sales", "price")
    assert [one.id for one in found.series] == ["shop0", "shop1", "shop2"]
    times = found.series[0].times
    assert times is not None
    assert str(times[13].astype("datetime64[M]")) == "2016-02"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_give_the_same(tmp_path: Path, separator: str) -> None:
    file = sensors(tmp_path / "a.csv")
    other = tmp_path / "b.csv"
    other.write_text("\ufeff" + file.read_text().replace(",", separator), encoding="utf-8")
    for one, same in zip(read_series(file).series, read_series(other).series, strict=True):
        assert (one.values == same.values).all()


def test_rows_in_any_order_of_time_are_sorted_and_told(tmp_path: Path) -> None:
    rows = sensor_rows(4)
    found = read_series(sensors(tmp_path / "a.csv", rows[::-1]))
    same = read_series(sensors(tmp_path / "b.csv", rows))
    by_name = {one.id: one for one in found.series}
    for one in same.series:
        assert (by_name[one.id].values == one.values).all()
    assert any("sorted, in 4 of 4 series" in note for note in found.notes)


def test_missing_cells_are_nan(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", ["time,a,b", "1,,2", "2,NA,3", "3,5,?"])
    assert np.isnan(read_series(file).series[0].values).tolist() == [
        [True, False], [True, False], [False, True],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "months"),
    [
        (["2020 Q1", "2020 Q2", "2020 Q3"], 3),
        (["2020 Jan", "2020 Feb", "2020 Mar"], 1),
        (["31.01.2020", "29.02.2020", "31.03.2020"], 1),
    ],
)
def test_usual_forms_of_dates_are_read(tmp_path: Path, words: list[str], months: int) -> None:
    file = write(tmp_path / "a.csv", ["when,x", *(f"{word},{n}" for n, word in enumerate(words))])
    times = read_series(file).series[0].times
    assert times is not None
    assert (np.diff(times.astype("datetime64[M]")).astype(int) == months).all()


def test_dates_with_an_offset_become_utc(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", ["when,x", "2021-05-01 00:00:00+02:00,1",
                                      "2021-05-01 00:30:00+02:00,2"])  # fmt: skip
    times = read_series(file).series[0].times
    assert times is not None
    assert str(times[0]) == "2021-04-30T22:00:00"


def test_a_column_of_words_is_not_read_and_told(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", ["time,x,remark", "1,2,fine", "2,3,odd"])
    found = read_series(file)
    assert found.columns == ("x",)
    assert "a.csv: not read, for they hold words: remark" in found.notes


def test_the_index_that_pandas_writes_is_left_out(tmp_path: Path) -> None:
    assert read_series(write(tmp_path / "a.csv", [",x", "0,5", "1,6"])).columns == ("x",)


def test_whole_numbers_that_come_again_are_classes_and_others_are_numbers(tmp_path: Path) -> None:
    rows = [f"{n},{step},{step * n}," for n in range(6) for step in range(3)]
    few = [f"{row}{int(row[0]) % 2}" for row in rows]
    many = [f"{row}{int(row[0]) / 10}" for row in rows]
    assert read_series(write(tmp_path / "a.csv", ["id,t,x,y", *few])).labels == "words"
    found = read_series(write(tmp_path / "b.csv", ["id,t,x,y", *many]))
    assert found.labels == "numbers"
    assert found.series[5].label == (0.5,)


def test_a_folder_holds_a_file_for_each_split(tmp_path: Path) -> None:
    sensors(tmp_path / "train.csv", sensor_rows(6))
    sensors(tmp_path / "X_test.csv", sensor_rows(4, first=6))
    found = read_series(tmp_path)
    assert [one.split for one in found.series].count("train") == 6
    assert [one.split for one in found.series].count("test") == 4


def test_a_forecast_goes_on_in_the_file_of_the_next_split(tmp_path: Path) -> None:
    rows = sales_rows(1, 40)
    shops(tmp_path / "train.csv", rows[:30])
    shops(tmp_path / "test.csv", rows[30:])
    (one,) = read_series(tmp_path, Roles(id="shop", target=("sales",))).series
    assert isinstance(one.split, np.ndarray)
    assert len(one) == 40
    assert one.split.tolist() == 30 * ["train"] + 10 * ["test"]


def test_splits_of_a_forecast_that_overlap_are_refused(tmp_path: Path) -> None:
    rows = sales_rows(1, 40)
    shops(tmp_path / "train.csv", rows[:30])
    shops(tmp_path / "test.csv", rows[20:])
    with pytest.raises(ValueError, match="before the end 2017-06-01T00:00:00 of the file"):
        read_series(tmp_path, Roles(id="shop", target=("sales",)))


def test_npz_is_read_padded_one_after_another_and_with_names(tmp_path: Path) -> None:
    x, length = np.arange(24.0).reshape(2, 4, 3), np.array([4, 2])
    np.savez(tmp_path / "a.npz", x=x, length=length, y=["up", "down"], columns=["a", "b", "c"])
    np.savez(tmp_path / "b.npz", x=np.concatenate([x[0], x[1, :2]]), length=length, id=["p", "q"])
    padded, flat = (read_series(tmp_path / name) for name in ("a.npz", "b.npz"))
    assert padded.columns == ("a", "b", "c")
    assert [one.label for one in padded.series] == ["up", "down"]
    assert [one.id for one in flat.series] == ["p", "q"]
    for one, same in zip(padded.series, flat.series, strict=True):
        assert (one.values == same.values).all()


def test_ts_is_read_ragged_with_what_is_missing(tmp_path: Path) -> None:
    lines = ["# a comment", "@problemName X", "@univariate false", "@classLabel true a b", "@data",
             "1,2,3:4,?,6:a", "7,8:9,10:b"]  # fmt: skip
    found = read_series(write(tmp_path / "x_TRAIN.ts", lines))
    assert found.columns == ("x0", "x1")
    assert [one.label for one in found.series] == ["a", "b"]
    assert np.isnan(found.series[0].values).tolist() == [[False, False], [False, True],
                                                         [False, False]]  # fmt: skip
    assert found.series[1].values.tolist() == [[7, 9], [8, 10]]


def test_ts_with_targets_and_times(tmp_path: Path) -> None:
    lines = ["@timestamps true", "@targetlabel true", "@data", "(0,1.5),(1,2.5):0.25"]
    found = read_series(write(tmp_path / "x.ts", lines))
    assert found.labels == "numbers"
    assert found.series[0].values.tolist() == [[1.5], [2.5]]
    assert found.series[0].label == (0.25,)


def test_tsf_has_dates_frequency_and_horizon(tmp_path: Path) -> None:
    lines = ["@relation x", "@attribute series_name string", "@attribute start_timestamp date",
             "@frequency monthly", "@horizon 2", "@data", "T1:1979-03-01 00-00-00:1,?,3",
             "T2:1980-01-01 00-00-00:4,5"]  # fmt: skip
    found = read_series(write(tmp_path / "x.tsf", lines))
    assert (found.frequency, found.horizon, found.labels) == ("monthly", 2, None)
    first = found.series[0]
    assert first.times is not None
    assert str(first.times[2]) == "1979-05-01T00:00:00"
    assert np.isnan(first.values[:, 0]).tolist() == [False, True, False]


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet as arrow_parquet

    assert pyarrow
    for name, roles in (("sensors", Roles()), ("shops", Roles(id="shop", target=("sales",)))):
        file = {"sensors": sensors, "shops": shops}[name](tmp_path / f"{name}.csv")
        arrow_parquet.write_table(arrow_csv.read_csv(file), tmp_path / f"{name}.parquet")
        one, other = (read_series(tmp_path / f"{name}.{end}", roles) for end in ("csv", "parquet"))
        assert one.columns == other.columns
        for a, b in zip(one.series, other.series, strict=True):
            assert a.id == b.id
            assert a.label == b.label
            assert (a.values == b.values).all()
            assert a.times is not None
            assert b.times is not None
            assert (a.times == b.times).all()


def test_parquet_without_pyarrow_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ModuleNotFoundError, match=r"a\.parquet needs pyarrow.*save the table as"):
        parquet.read_parquet(tmp_path / "a.parquet")


def test_a_new_file_may_have_other_columns_in_another_order(tmp_path: Path) -> None:
    file = write(tmp_path / "new.csv", ["ay,extra,time,ax", "1,7,0,2", "3,7,1,4"])
    roles = Roles("id", "time", ("label",))
    found = read_new(file, roles, "classify", ("ax", "ay"))
    assert found.series[0].values.tolist() == [[2, 1], [4, 3]]
    assert found.notes[-1] == "new.csv: not read: extra"
    write(file, ["ay,time", "1,0"])
    with pytest.raises(ValueError, match=r"new\.csv has no column 'ax'; there are: ay, time"):
        read_new(file, roles, "classify", ("ax", "ay"))


HEAD = "id,time,ax,ay,label"

BROKEN_TABLES = {
    "empty": ("", {}, "is empty; its first line must name the columns"),
    "header": (HEAD, {}, "has no rows below its first line"),
    "ragged": (f"{HEAD}\na,1,2\n", {}, r"line 2: 3 cells, but the first line names 5"),
    "words": ("time,x\n1,2\n2,warm\n", {}, r"line 3: the column 'x' holds 'warm', which is no num"),
    "comma": ("time;x\n1;2,5\n2;3\n", {}, r"line 2: .*'2,5'.*write it with a point, as 1\.5"),
    "infinite": ("time,x\n1,inf\n", {}, r"line 2: the column 'x' holds an infinite number"),
    "twice": ("time,x,x\n1,2,3\n", {}, "names the column 'x' twice"),
    "no names": ("1,2\n3,4\n", {}, "the first line must name the columns, but holds numbers: 1, 2"),
    "same time": ("time,x\n1,2\n1,3\n", {}, r"has the time 1 twice, in lines 2 and 3; if the"),
    "same time, shops": (
        "shop,month,x\nA,2020-01,2\nB,2020-01,3\n", {}, "name their column with id, perhaps 'shop'"
    ),
    "ids apart": ("id,x\na,1\nb,2\na,3\n", {}, r"series 'a' do not stand together \(lines 2 and 4"),
    "no id": (f"{HEAD}\n,1,2,3,walk\n", {}, "line 2: the column 'id' names no series"),
    "time": (f"{HEAD}\na,1,2,3,walk\na,soon,2,3,walk\n", {}, r"line 3: the time 'soon' of the col"),
    "two kinds of time": ("time,x\n2020-01-01,1\n3,2\n", {}, r"line 3: the time '3' of the column"),
    "no such column": (f"{HEAD}\na,1,2,3,w\n", {"time": "tine"}, "no column 'tine'; did you mean"),
    "split": ("time,x,split\n1,2,train\n2,3,later\n", {}, r"line 3: the split must be train, val"),
    "words only": ("time,x\n1,a\n2,b\n", {}, "has no column of numbers; it has x"),
    "quotation": ('time,x\n1,"2\n', {}, "line 2: no table can be read: unexpected end"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_TABLES)
def test_a_broken_table_is_refused_with_its_fault(tmp_path: Path, name: str) -> None:
    text, roles, message = BROKEN_TABLES[name]
    file = tmp_path / "broken.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_series(file, Roles(**roles))


def test_a_label_that_changes_within_a_series_is_named(tmp_path: Path) -> None:
    file = sensors(tmp_path / "a.csv", ["s,0,1,2,walk", "s,1,1,2,run"])
    with pytest.raises(ValueError, match=r"series 's' has 'walk' in line 2 and 'run' in line 3"):
        read_series(file, kind="classify")


def test_a_million_columns_are_refused_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [",".join(f"c{n}" for n in range(1_000_000))])
    with pytest.raises(
        ValueError, match=r"has 1000000 columns, and 4096 can be read; .*on its side"
    ):
        read_series(file)


def test_another_encoding_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("time,größe\n1,2\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"is not in UTF-8 .*save it as CSV in UTF-8"):
        read_series(tmp_path / "a.csv")


BROKEN_NPZ = {
    "no x": ({"z": np.zeros(3)}, "must hold `x`, but holds z"),
    "words": ({"x": np.array(["a"])}, "`x` must be numbers"),
    "infinite": ({"x": np.array([[[np.inf]]])}, r"`x` is infinite at \(0, 0, 0\)"),
    "long": ({"x": np.zeros((2, 3, 1)), "length": [4, 1]}, "2 numbers up to 4, but `x` has 2 seri"),
    "sum": ({"x": np.zeros((4, 1)), "length": [2, 1]}, "`length` sums to 3, but `x` has 4 rows"),
    "0 steps": ({"x": np.zeros((4, 1)), "length": [4, 0]}, "whole number of 1 or more"),
    "ids": ({"x": np.zeros((2, 3, 1)), "id": ["a", "a"]}, "has the name 'a' twice"),
    "labels": ({"x": np.zeros((2, 3, 1)), "y": [1]}, "a word or numbers for each of 2 series"),
    "split": (
        {"x": np.zeros((1, 3, 1)), "split": ["now"]},
        "must be train, val or test, got",
    ),
}


@pytest.mark.parametrize("name", BROKEN_NPZ)
def test_a_broken_npz_is_refused_with_its_fault(tmp_path: Path, name: str) -> None:
    arrays, message = BROKEN_NPZ[name]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_series(tmp_path / "a.npz")


def test_objects_in_an_npz_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="is no npz file that can be read: Object arrays"):
        read_series(tmp_path / "a.npz")


BROKEN_TEXTS = {
    "a.ts": {
        "": "is empty",
        "1,2:a": r"line 1: only lines with @",
        "@classLabel true a\n@data": "has no series below @data",
        "@classLabel true a\n@data\n1,2:b": r"line 3: the class 'b' is none of those of @class",
        "@classLabel true a\n@data\n1,x:a": r"line 3: could not convert string to float: 'x'",
        "@classLabel true a\n@data\n1,inf:a": r"line 3: an infinite number; write \?",
        "@classLabel true a\n@data\n:a": r"line 3: a dimension without values",
        "@classLabel true a\n@data\n1:2:a\n1:a": "series 1 has 1 dimensions, the first has 2",
    },
    "a.tsf": {
        "": "is empty",
        "@frequency daily": "has no line @data",
        "@horizon soon\n@data": r"line 1: @horizon must be 1 or more, got 'soon'",
        "@attribute series_name string\n@data\n1,2": r"line 3: 0 attributes, but @attrib",
        "@attribute series_name string\n@data\nA:1\nA:2": r"line 4: the name 'A' stands ther",
        "@attribute s date\n@data\nnever:1": r"line 3: 'never' is no date",
        "@data": "has no series below @data",
    },
}
CASES = [(name, text) for name, texts in BROKEN_TEXTS.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_a_broken_ts_or_tsf_is_refused_with_its_fault(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=BROKEN_TEXTS[name][text]):
        read_series(tmp_path / name)


def test_series_whose_dimensions_differ_in_length_are_skipped(tmp_path: Path) -> None:
    lines = ["@classLabel true a", "@data", "1,2:3:a", "1:2:a"]
    found = read_series(write(tmp_path / "a.ts", lines))
    assert [item.path for item in found.skipped] == ["a.ts#0"]
    assert found.skipped[0].reason == "its dimensions have different lengths"
    assert [one.id for one in found.series] == ["1"]


def test_paths_that_are_no_series_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the file is missing"):
        read_series(tmp_path / "no.csv")
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"the ending must be one of \.csv, \.tsv, \.parquet"):
        read_series(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"must hold one file of series, .* it holds none"):
        read_series(tmp_path)
    sensors(tmp_path / "a_train.csv")
    sensors(tmp_path / "b_train.csv")
    with pytest.raises(ValueError, match=r"a_train\.csv and b_train\.csv; one file must be f"):
        read_series(tmp_path)


def test_columns_that_a_split_lacks_are_named(tmp_path: Path) -> None:
    sensors(tmp_path / "train.csv")
    write(tmp_path / "test.csv", ["id,time,ax,label", "s,0,1,walk", "r,0,1,run", "q,0,1,run",
                                  "p,0,1,walk"])  # fmt: skip
    with pytest.raises(ValueError, match=r"test\.csv has no column 'ay', which is needed"):
        read_series(tmp_path)

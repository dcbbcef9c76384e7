"""Lists of photos in every layout, their division into splits, and the decoded sets."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from rondo.data.skipped import Skipped
from rondo.tasks.photo import files
from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.division import split_photos
from rondo.tasks.photo.files import list_photos, load_photos
from rondo.tasks.photo.lists import Photo, PhotoList
from rondo.tasks.photo.sets import PhotoSet

HEADER = "file,sex,split,source,age,race\n"


def write_photo(path: Path, grey: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 6), grey).save(path)


def write_table(root: Path, rows: str, photos: int = 8, header: str = HEADER) -> Path:
    """labels.csv with the rows, beside photos 0.png, 1.png, ... of grey level 10 times that."""
    for number in range(photos):
        write_photo(root / f"{number}.png", 10 * number)
    (root / "labels.csv").write_text(header + rows, encoding="utf-8")
    return root


def reasons(photo_list: PhotoList) -> dict[str, str]:
    return {item.path: item.reason for item in photo_list.skipped}


def sexes_by_name(photo_list: PhotoList) -> dict[str, str]:
    return {photo.path.name: SEXES[photo.label] for photo in photo_list.photos}


# labels.csv


def test_a_table_is_read_with_all_columns(tmp_path: Path):
    write_table(tmp_path, "0.png,Female,train,utkface,31,Asian\n1.png, m ,VALID,,,\n")
    listed = list_photos(tmp_path)
    assert listed.photos == (
        Photo(tmp_path / "0.png", 0, "train", "utkface", 31.0, (("group", "Asian"),)),
        Photo(tmp_path / "1.png", 1, "val", "csv"),
    )
    assert listed.layout == "csv"
    assert listed == list_photos(tmp_path / "labels.csv")


def test_a_table_needs_two_columns_and_suffers_a_byte_order_mark(tmp_path: Path):
    write_table(tmp_path, "\n0.png,0\n1.png,1\n2.png,f\n3.png,MALE\n", header="\ufeffFile, sex \n")
    words = sexes_by_name(list_photos(tmp_path))
    assert words == {"0.png": "female", "1.png": "male", "2.png": "female", "3.png": "male"}


def test_bad_rows_are_skipped_and_told(tmp_path: Path):
    rows = (
        "0.png,f,,,,\n1.png,m,,,,\n"
        "2.png,unknown,,,,\n3.png,f\n4.png,f,,,,,,\n0.png,m,,,,\nnone.png,f,,,,\n"
        "../x.png,f,,,,\n/etc/x.png,f,,,,\n5.png,f,,,old,\n,f,,,,\n./1.png,m,,,,\n\0.png,f,,,,\n"
    )
    listed = list_photos(write_table(tmp_path, rows))
    assert sexes_by_name(listed) == {"0.png": "female", "1.png": "male"}
    cells = "the row does not have as many cells as the first line"
    outside = "the path leads out of the folder of the data"
    twice = "the file is named a second time (the first counts)"
    contradicted = "the file is named a second time, with another label (the first counts)"
    assert reasons(listed) == {
        "line 4: 2.png": "the sex is none of female, male, f, m, 0, 1",
        "line 5": cells,
        "line 6": cells,
        "0.png": contradicted,
        "none.png": "the file is missing",
        "../x.png": outside,
        "/etc/x.png": outside,
        "line 11: 5.png": "the age is not a number",
        "": "no file is named",
        "./1.png": twice,
        "\0.png": "the file is missing",
    }
    assert "11 skipped: " in str(listed)
    assert f"{contradicted} (1), " in str(listed)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "the columns file and one of label, class, sex.*it names nothing"),
        (b"file;sex\n0.png;f\n", "separated by commas; it names file;sex"),
        (b"file,gender\n0.png,f\n", "labels.csv must name in its first line the columns file and"),
        (b"file,sex\n", "no usable photo of female and none of male among 0 photos"),
        (b"file,sex\n0.png,f\n1.png,f\n", "no usable photo of male among 2 photos of layout 'csv'"),
        (b"file,sex\ngone.png,f\n", r"1 skipped: the file is missing \(1\); both sexes are needed"),
        (b"file,sex\n\xff\xfe,f\n", "cannot be read as a table in UTF-8"),
        (b'file,sex\n"' + b"x" * 200_000 + b'",f\n', "cannot be read as a table in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, contents: bytes, message: str):
    write_table(tmp_path, "")
    (tmp_path / "labels.csv").write_bytes(contents)
    with pytest.raises(ValueError, match=message):
        list_photos(tmp_path)


# Folders for classes


def test_folders_for_classes(tmp_path: Path):
    write_photo(tmp_path / "Woman" / "a.jpg")
    write_photo(tmp_path / "M" / "inner" / "b.PNG")
    write_photo(tmp_path / "cats" / "c.jpg")
    (tmp_path / "M" / "notes.txt").write_text("x")
    (tmp_path / "M" / "._b.PNG").write_text("x")
    listed = list_photos(tmp_path)
    assert listed.layout == "folders"
    assert [(photo.path.name, photo.label, photo.split) for photo in listed.photos] == [
        ("b.PNG", 1, None),
        ("a.jpg", 0, None),
    ]
    assert reasons(listed) == {
        "M/notes.txt": "the name does not end like that of a picture",
        "cats": "the folder is not named after a class; --layout classes takes every folder for a "
        "class",
    }


def test_folders_for_splits(tmp_path: Path):
    for split in ("train", "Validation", "test", "cross"):
        for sex in SEXES:
            write_photo(tmp_path / split / sex / "0.png")
    listed = list_photos(tmp_path)
    counts = Counter(photo.split for photo in listed.photos)
    assert counts == {"train": 2, "val": 2, "test": 2, "cross": 2}
    assert split_photos(listed, seed=3) == listed


def test_a_class_without_a_folder(tmp_path: Path):
    write_photo(tmp_path / "male" / "0.png")
    with pytest.raises(ValueError, match="no usable photo of female among 1 photo of layout"):
        list_photos(tmp_path)


# UTKFace


def test_utkface_names(tmp_path: Path):
    write_photo(tmp_path / "part1" / "26_0_2_20170116184024662.jpg.chip.jpg")
    write_photo(tmp_path / "part1" / "7_1_4_20170116184024663.jpg")
    write_photo(tmp_path / "part2" / "61_1_20170109142408075.jpg")
    write_photo(tmp_path / "part2" / "61_3_1_20170109142408075.jpg")
    listed = list_photos(tmp_path)
    assert listed.layout == "utkface"
    assert [(p.label, p.age, dict(p.groups)["group"], p.source) for p in listed.photos] == [
        (1, 26.0, "Asian", "utkface"),
        (0, 7.0, "Others", "utkface"),
    ]
    assert set(reasons(listed).values()) == {"the name is not [age]_[gender]_[race]_[date]"}
    assert len(listed.skipped) == 2


# IMDB-WIKI

BORN_1970 = 719_529 + 181  # Matlab's number of a day in the middle of 1970


def write_mat(root: Path, source: str = "wiki", **changes) -> Path:
    """A table of seven rows: two good ones, then one for each reason to skip it."""
    names = [f"0{row}/{row}.png" for row in range(7)]
    table = {
        "dob": np.full(7, BORN_1970),
        "photo_taken": np.array([2000, 2010, 2000, 2000, 2000, 2090, 2000]),
        "full_path": np.array(names, dtype=object),
        "gender": np.array([0.0, 1.0, 0.0, 0.0, np.nan, 1.0, 1.0]),
        "face_score": np.array([1.5, 1.0, -np.inf, 2.0, 3.0, 3.0, 3.0]),
        "second_face_score": np.array([np.nan, 0.0, np.nan, 1.7, np.nan, np.nan, np.nan]),
    }
    for name in names[:-1]:
        write_photo(root / name)
    root.mkdir(exist_ok=True)
    kept = {field: column for field, column in (table | changes).items() if column is not None}
    savemat(root / f"{source}.mat", {source: kept})
    return root


@pytest.mark.parametrize("source", ["imdb", "wiki"])
def test_imdb_wiki_is_filtered_and_every_reason_counted(tmp_path: Path, source: str):
    root = write_mat(tmp_path / f"{source}_crop", source)
    listed = list_photos(root)
    assert listed.layout == "imdb-wiki"
    assert [(p.path.name, p.label, p.source) for p in listed.photos] == [
        ("0.png", 0, source),
        ("1.png", 1, source),
    ]
    assert [photo.age for photo in listed.photos] == pytest.approx([30.0, 40.0], abs=0.02)
    assert list(reasons(listed).values()) == [
        "no clear face (face_score below 1)",
        "a second face",
        "the sex is unknown",
        "the age is not 0 to 100",
        "the file is missing",
    ]
    assert list_photos(root / f"{source}.mat") == listed


def test_the_full_imdb_wiki_archive_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="must lie in a folder named imdb_crop or wiki_crop"):
        list_photos(write_mat(tmp_path / "wiki"))


def test_mat_files_that_cannot_be_used(tmp_path: Path):
    root = tmp_path / "wiki_crop"
    with pytest.raises(ValueError, match="missing: gender"):
        list_photos(write_mat(root, gender=None))
    with pytest.raises(ValueError, match="must hold fields of equal length"):
        list_photos(write_mat(root, gender=np.zeros(3)))
    savemat(root / "wiki.mat", {"other": 1.0})
    with pytest.raises(ValueError, match="must hold a table 'imdb' or 'wiki'"):
        list_photos(root)
    savemat(root / "wiki.mat", {"wiki": 1.0})
    with pytest.raises(ValueError, match="must hold a table 'imdb' or 'wiki'"):
        list_photos(root)
    with pytest.raises(ValueError, match="must hold one row of numbers in each field"):
        list_photos(write_mat(root, gender=np.array(["f"] * 7, dtype=object)))
    (root / "wiki.mat").write_bytes(b"not a table")
    with pytest.raises(ValueError, match=r"wiki\.mat cannot be read as a MATLAB file"):
        list_photos(root)


# CelebA


def write_celeba(root: Path, rows: str, count: int, splits: str = "") -> Path:
    root.mkdir(exist_ok=True)
    (root / "list_attr_celeba.txt").write_text(f"{count}\nYoung Male Hat\n{rows}")
    if splits:
        (root / "list_eval_partition.txt").write_text(splits)
    return root


def test_celeba_with_its_partition(tmp_path: Path):
    rows = "1.jpg  1 -1 -1\n2.jpg -1  1 -1\n3.jpg -1  1\n"
    write_celeba(tmp_path, rows, 3, "1.jpg 0\n2.jpg 2\n3.jpg 1\n")
    for number in (1, 2, 3):
        write_photo(tmp_path / "img_align_celeba" / f"{number}.jpg")
    listed = list_photos(tmp_path)
    assert listed.layout == "celeba"
    assert [(p.path.name, p.label, p.split) for p in listed.photos] == [
        ("1.jpg", 0, "train"),
        ("2.jpg", 1, "test"),
    ]
    assert reasons(listed) == {"3.jpg": "the row of attributes is damaged"}


def test_celeba_with_photos_beside_the_list(tmp_path: Path):
    write_celeba(tmp_path, "1.jpg 1 1 1\n2.jpg 1 -1 1\n", 2)
    for number in (1, 2):
        write_photo(tmp_path / f"{number}.jpg")
    listed = list_photos(tmp_path / "list_attr_celeba.txt")
    assert sexes_by_name(listed) == {"1.jpg": "male", "2.jpg": "female"}
    assert {photo.split for photo in listed.photos} == {None}


def test_celeba_lists_that_are_damaged(tmp_path: Path):
    with pytest.raises(ValueError, match="lists 9 photos, got 1: it is cut off"):
        list_photos(write_celeba(tmp_path, "1.jpg 1 1 1\n", 9))
    with pytest.raises(ValueError, match=r"0 \(train\), 1 \(val\) or 2 \(test\), got '1.jpg 7'"):
        list_photos(write_celeba(tmp_path, "1.jpg 1 1 1\n", 1, "1.jpg 7\n"))
    (tmp_path / "list_attr_celeba.txt").write_text("1\nYoung Hat\n")
    with pytest.raises(ValueError, match="must name the attributes, Male among them"):
        list_photos(tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match=r"list_attr_celeba\.txt cannot be read as text"):
        list_photos(tmp_path)


# Which layout it is


def test_places_without_labelled_photos(tmp_path: Path):
    with pytest.raises(ValueError, match="gone does not exist: name a folder with photos"):
        list_photos(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"holds no labelled photos.*labels\.csv.*found nothing"):
        list_photos(tmp_path)
    (tmp_path / "photo.txt").write_text("x")
    with pytest.raises(ValueError, match=r"found a file named photo\.txt"):
        list_photos(tmp_path / "photo.txt")
    with pytest.raises(ValueError, match=r"looked for imdb.mat or wiki.mat \(layout 'imdb-wiki'\)"):
        list_photos(tmp_path, layout="imdb-wiki")
    with pytest.raises(ValueError, match=r"layout must be one of csv, imdb-wiki.*, got 'zip'"):
        list_photos(tmp_path, layout="zip")


def test_a_named_layout_wins_over_the_one_found(tmp_path: Path):
    write_table(tmp_path, "0.png,f,,,,\n1.png,m,,,,\n")
    write_photo(tmp_path / "female" / "9.png")
    write_photo(tmp_path / "male" / "8.png")
    assert list_photos(tmp_path).layout == "csv"
    assert sexes_by_name(list_photos(tmp_path, layout="folders")) == {
        "8.png": "male",
        "9.png": "female",
    }


# Splits


def photos_without_files(count: int, split: str | None = None, start: int = 0) -> PhotoList:
    photos = [
        Photo(Path(f"root/{number}.png"), number % 2, split, "csv")
        for number in range(start, start + count)
    ]
    return PhotoList("csv", tuple(photos), SEXES, root=Path("root"))


def split_counts(photo_list: PhotoList) -> Counter:
    return Counter(photo.split for photo in photo_list.photos)


def test_photos_are_divided_by_name_and_seed_alone():
    few, many = (split_photos(photos_without_files(count), seed=5) for count in (500, 2000))
    assert many.photos[:500] == few.photos
    assert split_photos(photos_without_files(500), seed=6) != few
    counts = split_counts(many)
    assert counts["train"] == pytest.approx(1600, abs=60)
    assert counts["val"] == pytest.approx(200, abs=50)
    assert counts["test"] == pytest.approx(200, abs=50)


def test_the_division_does_not_depend_on_where_the_folder_lies():
    here = photos_without_files(300)
    moved = [Photo(Path("there") / p.path.name, p.label, None, "csv") for p in here.photos]
    there = PhotoList("csv", tuple(moved), SEXES, root=Path("there"))
    splits = [[p.split for p in split_photos(one, 0).photos] for one in (here, there)]
    assert splits[0] == splits[1]


def test_a_missing_val_is_taken_from_train_and_the_list_says_so():
    named = (
        photos_without_files(1000, "train").photos + photos_without_files(9, "test", 1000).photos
    )
    listed = PhotoList("csv", named, SEXES, root=Path("root"))
    counts = split_counts(split_photos(listed, seed=0))
    assert counts["test"] == 9
    assert counts["val"] == pytest.approx(100, abs=35)
    assert counts["train"] == 1000 - counts["val"]
    assert "val: not named by the labels, a tenth of train is taken by the same hash" in str(listed)
    assert "test: not named" not in str(listed)


def test_the_text_of_a_list_counts_by_split_and_sex():
    listed = PhotoList(
        "csv",
        photos_without_files(3, "train").photos + photos_without_files(1).photos,
        SEXES,
        (Skipped("a", "bad"), Skipped("b", "bad")),
    )
    assert str(listed).splitlines() == [
        "4 photos, layout 'csv'",
        "  train: 3 photos (2 female, 1 male)",
        "  no split named: 1 photo (1 female, 0 male)",
        "  photos with no split named are divided by a hash of their names: "
        "80 % train, 10 % val, 10 % test",
        "  val: not named by the labels, a tenth of train is taken by the same hash",
        "  test: not named by the labels, a tenth of train is taken by the same hash",
        "  2 skipped: bad (2)",
    ]


def test_a_split_needs_both_sexes():
    with pytest.raises(ValueError, match=r"split 'val' holds \d photos? .*needs both sexes: add"):
        split_photos(photos_without_files(6), seed=0)


# Decoded sets

ROWS = "".join(
    f"{number}.png,{'mf'[number % 2]},{split},,,\n"
    for number, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2 + ["cross"] * 2)
)


def test_photos_are_loaded_in_order_with_their_labels(tmp_path: Path):
    sets = load_photos(write_table(tmp_path, ROWS, photos=10), 4)
    assert list(sets) == ["train", "val", "test", "cross"]
    train = sets["train"].check()
    assert train.pixels.shape == (4, 3, 4, 4)
    assert train.pixels.dtype == torch.uint8
    assert train.pixels[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert train.labels.tolist() == [1, 0, 1, 0]
    assert train.labels.dtype == torch.int64
    assert [photo.path.name for photo in sets["cross"].photos] == ["8.png", "9.png"]
    assert len(sets["cross"]) == 2
    assert str(train) == "4 photos (2 female, 2 male), 4 pixels wide; none skipped"


def test_unreadable_photos_are_counted_where_they_belong(tmp_path: Path):
    root = write_table(tmp_path, ROWS + "gone.png,f,test,,,\n", photos=10)
    (root / "1.png").write_bytes(b"")
    sets = load_photos(root, 4)
    assert sets["train"].labels.tolist() == [1, 1, 0]
    assert sets["train"].pixels[:, 0, 0, 0].tolist() == [0, 20, 30]
    assert sets["train"].skipped == (
        Skipped("gone.png", "the file is missing"),
        Skipped(str(root / "1.png"), "the file is empty"),
    )
    assert sets["test"].skipped == ()
    assert str(sets["train"]).endswith("2 skipped: the file is missing (1), the file is empty (1)")


def test_too_many_unreadable_photos(tmp_path: Path):
    root = write_table(tmp_path, ROWS, photos=10)
    for number in range(6):
        (root / f"{number}.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"only 4 of 10 photos .*\(6 skipped: is not a pic"):
        load_photos(root, 4)


def test_a_sex_that_is_lost_in_decoding(tmp_path: Path):
    root = write_table(tmp_path, ROWS, photos=10)
    (root / "6.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"split 'test' holds 1 photo \(1 female, 0 male\)"):
        load_photos(root, 4)


def test_photos_that_do_not_fit_into_memory(tmp_path: Path, monkeypatch):
    write_table(tmp_path, ROWS, photos=10)
    monkeypatch.setattr(files, "available_bytes", lambda: 10_000_000_000)
    with pytest.raises(ValueError, match=r"7\.5 GB, more than half of the 10\.0 GB.*smaller --im"):
        load_photos(tmp_path, 15_800)
    monkeypatch.setattr(files, "available_bytes", lambda: None)
    assert len(load_photos(tmp_path, 2)["train"]) == 4


def test_the_free_memory_of_this_machine_is_plausible():
    free = files.available_bytes()
    assert free is None or 1e7 < free < 1e14


def test_a_set_checks_itself():
    photos = photos_without_files(2).photos
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(AssertionError):
        PhotoSet(pixels, torch.tensor([1, 0]), photos, SEXES).check()
    with pytest.raises(AssertionError):
        PhotoSet(pixels.float(), torch.tensor([0, 1]), photos, SEXES).check()


@pytest.mark.real_data
@pytest.mark.skipif("RONDO_FACES" not in os.environ, reason="RONDO_FACES names no photos")
def test_real_photos_are_loaded():
    sets = load_photos(Path(os.environ["RONDO_FACES"]), 16)
    num_photos = sum(len(one) for one in sets.values())
    num_skipped = sum(len(one.skipped) for one in sets.values())
    assert num_skipped < 0.02 * num_photos
    assert 30 < sets["train"].pixels.float().mean() < 220

"""Photos of any classes: folders and tables, their division, and what is wrong with some."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from drawn_classes import class_names, draw_shape, write_classes
from rondo.data.skipped import Skipped
from rondo.tasks.photo.classes import SEXES, are_of_people, classes_of, names_of
from rondo.tasks.photo.division import split_photos
from rondo.tasks.photo.files import list_photos, load_photos
from rondo.tasks.photo.lists import Photo, PhotoList
from rondo.tasks.photo.task import RECIPES, fingerprint, load_data, photo_task


def write_table(root: Path, rows: list[str], header: str = "file,label") -> Path:
    """A label file beside the pictures 0.png, 1.png, ..., one for each row."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(len(rows)):
        draw_shape("red square", number, 8).save(root / f"{number}.png")
    (root / "labels.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root


def table_of(root: Path, labels: str, header: str = "file,label") -> Path:
    """A label file with one row for each word."""
    rows = [f"{number}.png,{label}" for number, label in enumerate(labels.split())]
    return write_table(root, rows, header)


def labels_of(listed: PhotoList) -> dict[str, str]:
    return {photo.path.name: listed.classes[photo.label] for photo in listed.photos}


def reasons(listed: PhotoList) -> dict[str, str]:
    return {item.path: item.reason for item in listed.skipped}


def write_picture(path: Path, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_shape("blue star", number, 8).save(path)


# --- names


def test_whole_numbers_are_sorted_by_value_and_others_by_their_letters() -> None:
    classes, numbers = classes_of(["10", "9", "b", "a", "9"])
    assert classes == ("9", "10", "a", "b")
    assert numbers == {"9": 0, "10": 1, "a": 2, "b": 3}


def test_words_for_the_sexes_alone_mean_the_sexes() -> None:
    assert classes_of(["Women", "m"]) == (SEXES, {"Women": 0, "m": 1})
    assert classes_of(["man", "woman", "child"])[0] == ("child", "man", "woman")
    assert classes_of(["e", "f", "m"])[0] == ("e", "f", "m")


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (SEXES, True),
        (("man", "child"), True),
        (("young_female", "old_female"), True),
        (("asian woman", "tree"), True),
        (("Boys", "Girls"), True),
        (("e", "f", "m"), False),
        (("man-of-war", "romantic", "email"), False),
        (("cat", "dog"), False),
    ],
)
def test_classes_that_say_a_sex_are_known(classes: tuple[str, ...], expected: bool) -> None:
    assert are_of_people(classes) is expected


def test_a_message_names_a_few_short_names() -> None:
    assert names_of(["a" * 100]) == f"'{'a' * 37}...'"
    assert names_of(["a", "b"]) == "'a', 'b'"


# --- tables


@pytest.mark.parametrize("column", ["label", "class", "Class "])
def test_a_table_names_any_classes(tmp_path: Path, column: str) -> None:
    rows = ["0.png,red  cat,train", "1.png, dog,val", "2.png,dog,test"]
    listed = list_photos(write_table(tmp_path, rows, f"file,{column},split"))
    assert listed.classes == ("dog", "red cat")
    assert labels_of(listed) == {"0.png": "red cat", "1.png": "dog", "2.png": "dog"}
    assert [photo.split for photo in listed.photos] == ["train", "val", "test"]


def test_other_columns_group_the_photos(tmp_path: Path) -> None:
    rows = ["0.png,cat,north,phone,", "1.png,dog,south,,x"]
    listed = list_photos(write_table(tmp_path, rows, "file,label,race,camera,"))
    assert [photo.groups for photo in listed.photos] == [
        (("camera", "phone"), ("group", "north")),
        (("group", "south"),),
    ]


def test_a_column_of_too_many_values_does_not_group(tmp_path: Path) -> None:
    rows = [f"{number}.png,{'ab'[number % 2]},id{number},{number % 3}" for number in range(60)]
    listed = list_photos(write_table(tmp_path, rows, "file,label,id,camera"))
    assert listed.photos[4].groups == (("camera", "1"),)
    assert listed.notes == (
        "the column id has 60 values, and more than 50 do not group the photos",
    )


def test_a_label_column_with_the_sexes_means_them(tmp_path: Path) -> None:
    listed = list_photos(table_of(tmp_path, "f Man woman m"))
    assert listed.classes == SEXES
    assert [photo.label for photo in listed.photos] == [0, 1, 0, 1]


def test_labels_0_and_1_are_no_sexes(tmp_path: Path) -> None:
    assert list_photos(table_of(tmp_path, "0 1 0 1")).classes == ("0", "1")


def test_rows_that_cannot_be_used_are_told_by_line(tmp_path: Path) -> None:
    rows = ["0.png,a", "1.png,b", "2.png,", "1.png,a", "1.png,b", "gone.png,a"]
    listed = list_photos(write_table(tmp_path, rows))
    assert labels_of(listed) == {"0.png": "a", "1.png": "b"}
    assert listed.skipped == (
        Skipped("line 4: 2.png", "no class is named"),
        Skipped("1.png", "the file is named a second time, with another label (the first counts)"),
        Skipped("1.png", "the file is named a second time (the first counts)"),
        Skipped("gone.png", "the file is missing"),
    )


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("file,label,sex", "names the columns label and sex, and each of them may hold the class"),
        ("file,label,class", "names the columns label and class, and each.*rename those that do"),
        ("file,label,race,group", "names the columns race and group, which stand for the same"),
        ("file,label,camera,camera", "names the column camera twice; rename one of them"),
        ("file,species", "the columns file and one of label, class, sex.*it names file,species"),
        ("picture,label", "the columns file and one of label, class, sex.*it names picture,label"),
    ],
)
def test_tables_whose_columns_cannot_be_used(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list_photos(write_table(tmp_path, ["0.png,a,b,c"], header))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("Cat cat", "the classes 'Cat' and 'cat' differ only in capitals or in their Unicode form"),
        ("caf\u00e9 cafe\u0301", r"'cafe\\u0301' and 'caf\\xe9' differ only in capitals or in the"),
    ],
)
def test_classes_that_are_written_nearly_alike(tmp_path: Path, labels: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list_photos(table_of(tmp_path, labels))


# --- folders


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    write_picture(tmp_path / "cats" / "a.png")
    write_picture(tmp_path / "dogs" / "more" / "b.png")
    (tmp_path / "dogs" / "notes.txt").touch()
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    write_picture(tmp_path / ".hidden" / "c.png")
    write_picture(tmp_path / "stray.png")
    listed = list_photos(tmp_path)
    assert listed.layout == "classes"
    assert labels_of(listed) == {"a.png": "cats", "b.png": "dogs"}
    assert reasons(listed) == {
        "stray.png": "the picture lies in no folder of a class",
        "dogs/notes.txt": "the name does not end like that of a picture",
        "empty": "the folder holds no picture",
    }


def test_folders_for_splits_hold_folders_for_classes(tmp_path: Path) -> None:
    for split in ("Training", "valid", "test", "night"):
        for name in ("cat", "dog"):
            write_picture(tmp_path / split / name / "0.png")
    (tmp_path / "test" / "fox").mkdir()
    write_picture(tmp_path / "test" / "stray.png")
    write_picture(tmp_path / "samples" / "1.png")
    listed = list_photos(tmp_path)
    assert listed.classes == ("cat", "dog")
    splits = Counter(photo.split for photo in listed.photos)
    assert splits == {"train": 2, "val": 2, "test": 2, "night": 2}
    assert reasons(listed) == {
        "samples": "the folder holds no folder of pictures, so it is no split",
        "test/stray.png": "the picture lies in no folder of a class",
        "test/fox": "the folder holds no picture",
    }


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        write_picture(tmp_path / name / "0.png")
    assert list_photos(tmp_path).classes == ("bus", "train")


def test_splits_without_train_are_no_classes(tmp_path: Path) -> None:
    for split in ("val", "test"):
        write_picture(tmp_path / split / "cat" / "0.png")
    with pytest.raises(ValueError, match="holds the folders 'test', 'val', which are named after"):
        list_photos(tmp_path)


def test_a_few_folders_of_many_may_be_named_after_the_sexes(tmp_path: Path) -> None:
    for name in ("a", "e", "f", "m"):
        write_picture(tmp_path / name / "0.png")
    assert list_photos(tmp_path).classes == ("a", "e", "f", "m")
    assert list_photos(tmp_path, layout="folders").classes == SEXES


def test_the_sexes_beside_one_other_folder_stay_the_sexes(tmp_path: Path) -> None:
    for name in ("man", "woman", "child"):
        write_picture(tmp_path / name / "0.png")
    listed = list_photos(tmp_path)
    assert listed.classes == SEXES
    assert reasons(listed)["child"].endswith("--layout classes takes every folder for a class")
    assert list_photos(tmp_path, layout="classes").classes == ("child", "man", "woman")


@pytest.mark.skipif(os.name != "posix", reason="names of files are text there")
def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    write_picture(tmp_path / "cat" / "0.png")
    write_picture(tmp_path / "dog" / "0.png")
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(folder)
    (tmp_path / "cat" / "0.png").rename(os.fsdecode(folder) + "/1.png")
    write_picture(tmp_path / "cat" / "2.png")
    listed = list_photos(tmp_path)
    assert listed.classes == ("cat", "dog")
    assert reasons(listed) == {"\\xff\\xfe": "the name of the folder is not text in UTF-8"}


def test_folders_without_a_picture_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.txt").touch()
    with pytest.raises(ValueError, match=r"a folder of pictures for each class.*; found cat"):
        list_photos(tmp_path)


# --- splits


def listed_photos(numbers: dict[str, int], split: str | None = None) -> PhotoList:
    """So many photos of each class, without files."""
    classes = tuple(sorted(numbers))
    photos = tuple(
        Photo(Path(f"root/{name}/{number}.png"), label, split, "folders")
        for label, name in enumerate(classes)
        for number in range(numbers[name])
    )
    return PhotoList("classes", photos, classes, root=Path("root"))


def counts_of(listed: PhotoList) -> Counter[tuple[str | None, str]]:
    return Counter((photo.split, listed.classes[photo.label]) for photo in listed.photos)


def test_every_split_has_its_share_of_every_class() -> None:
    listed = listed_photos({"cat": 100, "dog": 31, "fox": 3})
    counts = counts_of(split_photos(listed, seed=0))
    assert {split: counts[split, "cat"] for split in ("train", "val", "test")} == {
        "train": 80, "val": 10, "test": 10
    }  # fmt: skip
    assert [counts[split, "dog"] for split in ("train", "val", "test")] == [25, 3, 3]
    assert [counts[split, "fox"] for split in ("train", "val", "test")] == [1, 1, 1]


def test_the_division_is_a_function_of_the_seed_and_the_names() -> None:
    listed = listed_photos({"cat": 40, "dog": 40})
    first = split_photos(listed, seed=1)
    assert first == split_photos(listed, seed=1)
    assert first != split_photos(listed, seed=2)
    other = split_photos(listed_photos({"cat": 40, "dog": 9}), seed=1)
    assert [p.split for p in other.photos[:40]] == [p.split for p in first.photos[:40]]


def test_what_train_lacks_is_taken_from_it_and_a_photo_stays() -> None:
    listed = listed_photos({"cat": 20, "dog": 1}, split="train")
    counts = counts_of(split_photos(listed, seed=0))
    assert [counts[split, "cat"] for split in ("train", "val", "test")] == [16, 2, 2]
    assert counts["train", "dog"] == 1


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"cat": 12}, "one class only, 'cat' with 12 photos: a network learns to tell two"),
        ({"cat": 9, "dog": 1}, "1 class has too few photos: 'dog' 1 photo; each class needs 3 or"),
        ({"cat": 9, "dog": 2, "fox": 1}, "2 classes have too few photos: 'dog' 2 photos, 'fox' 1"),
    ],
)
def test_classes_that_cannot_be_divided(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_photos(listed_photos(numbers), seed=0)


def test_a_class_that_train_lacks(tmp_path: Path) -> None:
    rows = ["0.png,a,train", "1.png,b,train", "2.png,a,val", "3.png,c,test", "4.png,c,test"]
    write_table(tmp_path, rows, "file,label,split")
    with pytest.raises(ValueError, match=r"1 class has no photo in train.*: 'c' 2 photos; add"):
        load_photos(tmp_path, 8)


def test_a_split_that_is_empty(tmp_path: Path) -> None:
    write_table(tmp_path, ["0.png,a,train", "1.png,b,train", "2.png,b,test"], "file,label,split")
    with pytest.raises(ValueError, match="split 'val' holds no photo: add photos, or name other"):
        load_photos(tmp_path, 8)


# --- decoded photos


def test_classes_of_shapes_are_decoded_and_make_a_task(tmp_path: Path) -> None:
    data = load_photos(write_classes(tmp_path, 7, 10, image_size=16), 16)
    names = tuple(class_names(7))
    assert {split: len(photos) for split, photos in data.items()} == {
        "train": 56, "val": 7, "test": 7
    }  # fmt: skip
    assert data["test"].classes == names
    assert data["train"].labels.bincount().tolist() == [8] * 7
    task = photo_task(data, 16, RECIPES["default"])
    assert (task.output_size, task.classes) == (7, names)
    assert task.baseline == pytest.approx(1 / 7)
    assert str(data["train"]).startswith("56 photos of 7 classes, 8 to 8 each")
    assert task.notes == (
        f"7 classes have fewer than 10 photos in train, which is little to learn from: "
        f"{', '.join(f'{name!r} 8 photos' for name in names[:5])} and 2 more",
    )


def test_a_class_without_photos_in_a_split_is_told(tmp_path: Path) -> None:
    rows = [f"{number}.png,{'ab'[number % 2]},train" for number in range(20)]
    rows += ["20.png,a,val", "21.png,b,val", "22.png,a,test"]
    data = load_photos(write_table(tmp_path, rows, "file,label,split"), 8)
    assert data["train"].notes == (
        "1 class has no photo in test, so nothing is measured of them there: 'b'",
    )


def test_equal_pictures_with_differing_labels_or_in_two_splits_are_told(tmp_path: Path) -> None:
    rows = [f"{number}.png,{'ab'[number % 2]},train" for number in range(20)]
    rows += ["20.png,a,val", "21.png,b,val", "22.png,a,test", "23.png,b,test"]
    write_table(tmp_path, rows, "file,label,split")
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "22.png").write_bytes((tmp_path / "4.png").read_bytes())
    assert load_photos(tmp_path, 8)["train"].notes == (
        "1 picture is there more than once with differing labels, and one of these is wrong: "
        "0.png (a) = 1.png (b)",
        "1 picture is both in train and in another split, which makes that look better than it is: "
        "4.png (train) = 22.png (test)",
    )


def test_pictures_that_cannot_be_read_are_counted_and_told(tmp_path: Path) -> None:
    write_classes(tmp_path, 3, 12, image_size=16)
    broken = tmp_path / class_names(3)[0] / "3.png"
    broken.write_bytes(b"no picture")
    data = load_photos(tmp_path, 16)
    (skipped,) = (item for photos in data.values() for item in photos.skipped)
    assert skipped.path == str(broken)
    assert skipped.reason.startswith("is not a picture in one of the formats")
    assert sum(map(len, data.values())) == 35


def test_a_class_that_is_lost_in_decoding(tmp_path: Path) -> None:
    rows = [f"{number}.png,{'ab'[number % 2]},train" for number in range(12)]
    rows += ["12.png,c,train", "13.png,a,val", "14.png,c,test"]
    write_table(tmp_path, rows, "file,label,split")
    (tmp_path / "12.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 class has no photo in train.*: 'c' 1 photo; add"):
        load_photos(tmp_path, 8)


def test_a_changed_name_of_a_class_is_noticed(tmp_path: Path) -> None:
    first, second = (
        load_photos(table_of(tmp_path / name, labels), 8)
        for name, labels in (("one", "a a a b b b"), ("two", "a a a c c c"))
    )
    assert first["train"].labels.equal(second["train"].labels)
    assert fingerprint(first) != fingerprint(second)


# --- other data for a trained network


def test_other_data_take_the_numbers_of_the_classes_that_the_run_knows(tmp_path: Path) -> None:
    table_of(tmp_path, "dog cat dog")
    data = load_photos(tmp_path, 8, classes=("ape", "cat", "dog"))
    found = {photo.path.name: photo.label for one in data.values() for photo in one.photos}
    assert found == {"0.png": 2, "1.png": 1, "2.png": 2}
    assert all(photos.classes == ("ape", "cat", "dog") for photos in data.values())
    assert "test" in data


def test_a_class_that_the_run_does_not_know(tmp_path: Path) -> None:
    table_of(tmp_path, "dog cat elk")
    message = "have the classes 'cat', 'dog', 'elk', but the run learnt 'cat', 'dog': .* no 'elk'"
    with pytest.raises(ValueError, match=message):
        load_photos(tmp_path, 8, classes=("cat", "dog"))


def test_drawings_are_for_the_sexes_alone() -> None:
    with pytest.raises(
        ValueError, match="show female and male faces, but the run learnt 'cat', 'd"
    ):
        load_data("drawn", 16, layout=None, seed=0, num_drawn=8, classes=("cat", "dog"))


def test_faces_keep_their_division(tmp_path: Path) -> None:
    """The split of a face depends on its name and the seed alone, whatever else there is."""
    listed = listed_photos(dict.fromkeys(SEXES, 60))
    few = PhotoList("folders", listed.photos[::2], SEXES, root=Path("root"))
    by_name = {photo.path: photo.split for photo in split_photos(listed, seed=3).photos}
    assert all(by_name[photo.path] == photo.split for photo in split_photos(few, seed=3).photos)


def test_a_drawn_shape_is_the_same_every_time() -> None:
    one, same, other = (draw_shape("red star", number) for number in (1, 1, 2))
    assert one.tobytes() == same.tobytes() != other.tobytes()
    assert isinstance(one, Image.Image)

"""Label maps: they lie on photos that EXIF turns, in every mode of a picture, or are refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from rondo.data.turns import EXIF_TURNS, Turn, turn_of_matrix, turned
from rondo.tasks.segmentation.files import read_scenes
from rondo.tasks.segmentation.label_maps import LabelMap, Turned, laid_on, unmasked
from rondo.tasks.segmentation.scenes import Scene, SceneSets
from rondo.tasks.segmentation.task import segmentation

ORIENTATIONS = range(1, 9)


def quadrants(width: int = 64, height: int = 48) -> np.ndarray:
    """Classes (H, W) of a scene as it is seen: four quadrants, each another."""
    rows, columns = np.arange(height)[:, None] >= height // 2, np.arange(width) >= width // 2
    return (2 * rows + columns).astype(np.uint8)


def as_stored(seen: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores, so that the orientation makes it upright."""
    back = {6: 8, 8: 6}.get(orientation, orientation)
    return turned(seen, EXIF_TURNS[back])


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[ExifTags.Base.Orientation] = orientation
    return found


def scene_folder(
    root: Path,
    orientations: Sequence[int],
    lies: Sequence[str],
    *,
    form: str = "png",
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Photos of four quadrants, stored turned, with maps that are "stored", "seen" or "tagged"."""
    rows = ["split,image,label"]
    for number, (orientation, way) in enumerate(zip(orientations, lies, strict=True)):
        classes = quadrants(*size)
        pixels = as_stored(np.stack([60 * classes] * 3, -1), orientation)
        photo = root / f"i{number}.{form}"
        Image.fromarray(pixels).save(photo, exif=exif(orientation), quality=95)
        label = Image.fromarray(classes if way == "seen" else as_stored(classes, orientation))
        tag = {"exif": exif(orientation)} if way == "tagged" else {}
        label.save(root / f"m{number}.png", **tag)
        split = ("train", "val", "test")[min(number, 2)]
        rows.append(f"{split},i{number}.{form},m{number}.png")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    (root / "classes.csv").write_text("id,name\n0,sky\n1,wall\n2,road\n3,car\n")
    return root


def scenes(sets: SceneSets) -> list[Scene]:
    return [scene for split in sets.splits.values() for scene in split]


def assert_upright(sets: SceneSets, size: tuple[int, int] = (64, 48)) -> None:
    for scene in scenes(sets):
        np.testing.assert_array_equal(scene.labels.numpy(), quadrants(*size))
        seen = (scene.pixels[0].numpy().astype(int) + 30) // 60
        assert (seen == quadrants(*size)).mean() > 0.95


# --- turns


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_orientation_turns_as_pillow_turns(orientation: int) -> None:
    pixels = np.arange(6 * 4, dtype=np.uint8).reshape(4, 6)
    image = Image.fromarray(pixels)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(turned(pixels, EXIF_TURNS[orientation]), expected)


def test_a_matrix_without_a_meaning_turns_nothing() -> None:
    assert turn_of_matrix(b"") == Turn()
    assert turn_of_matrix(bytes(36)) == Turn()


# --- turned photos


@pytest.mark.parametrize("form", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("way", ["stored", "tagged"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_map_is_turned_with_its_photo(
    tmp_path: Path, orientation: int, way: str, form: str
) -> None:
    assert_upright(read_scenes(scene_folder(tmp_path, [orientation] * 3, [way] * 3, form=form)))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_map_that_lies_as_the_photo_is_seen_stays(tmp_path: Path, orientation: int) -> None:
    sets = read_scenes(scene_folder(tmp_path, [orientation] * 3, ["seen"] * 3))
    assert_upright(sets)
    assert sets.notes == ()


def test_stored_and_seen_maps_may_stand_side_by_side(tmp_path: Path) -> None:
    ways = ["stored", "seen", "tagged"]
    assert_upright(read_scenes(scene_folder(tmp_path, [6, 8, 3], ways)))


@pytest.mark.parametrize("way", ["stored", "seen"])
def test_where_a_size_tells_nothing_the_other_maps_of_the_folder_do(
    tmp_path: Path, way: str
) -> None:
    sets = read_scenes(scene_folder(tmp_path, [6, 3, 2, 1], [way] * 4))
    assert_upright(sets)
    (note,) = sets.notes
    assert note.startswith("2 label maps ")
    assert f"such as {tmp_path / 'm1.png'} on {tmp_path / 'i1.png'}; save photos upright" in note


def test_square_maps_are_turned_with_their_photos_and_this_is_told(tmp_path: Path) -> None:
    scene_folder(tmp_path, [6, 8, 1], ["stored"] * 3, size=(48, 48))
    sets = read_scenes(tmp_path)
    assert_upright(sets, (48, 48))
    assert sets.notes[0].startswith("2 label maps are turned as EXIF turns their photos, which ")
    assert segmentation(str(tmp_path)).notes[1:] == sets.notes


def test_a_map_of_which_nobody_can_tell_how_it_lies_is_refused(tmp_path: Path) -> None:
    scene_folder(tmp_path, [6, 6, 3], ["stored", "seen", "stored"])
    with pytest.raises(ValueError, match=r"whether \S+m2\.png lies on \S+i2\.png as it is stored"):
        read_scenes(tmp_path)


def test_another_size_names_both_files_and_sizes(tmp_path: Path) -> None:
    scene_folder(tmp_path, [6] * 3, ["stored"] * 3)
    Image.new("L", (64, 47)).save(tmp_path / "m1.png")
    message = (
        r"m1\.png must be of one channel and as large as \S+i1\.png, which is 64 x 48 pixels "
        r"when turned upright \(EXIF orientation 6\), but is 64 x 47 pixels$"
    )
    with pytest.raises(ValueError, match=message):
        read_scenes(tmp_path)
    Image.fromarray(quadrants()).save(tmp_path / "m1.png", exif=exif(8))
    with pytest.raises(ValueError, match=r"but is 48 x 64 pixels when turned upright \(EXIF.* 8\)"):
        read_scenes(tmp_path)


def test_the_size_is_that_of_the_first_photo_as_seen(tmp_path: Path) -> None:
    scene_folder(tmp_path, [6] * 3, ["stored"] * 3)
    shapes = {(scene.pixels.shape, scene.labels.shape) for scene in scenes(read_scenes(tmp_path))}
    assert shapes == {((3, 48, 64), (48, 64))}
    small = scenes(read_scenes(tmp_path, (32, 24)))[0]
    assert (small.pixels.shape, small.labels.shape) == ((3, 24, 32), (24, 32))


def test_a_photo_keeps_its_fine_stripes(tmp_path: Path) -> None:
    scene_folder(tmp_path, [1] * 3, ["seen"] * 3, form="jpg")
    stripes = np.tile(np.uint8([[0] * 4 + [255] * 4]), (48, 8))
    Image.fromarray(stripes).save(tmp_path / "i0.jpg", quality=95)
    read = read_scenes(tmp_path).splits["train"][0].pixels[0].numpy().astype(int)
    assert abs(read - stripes).max() < 30


# --- modes


def with_map(root: Path, image: Image.Image, name: str = "m0.png", **options: object) -> SceneSets:
    """The scenes of a folder whose first label map is this one."""
    scene_folder(root, [1] * 3, ["seen"] * 3)
    image.save(root / name, **options)
    table = (root / "list.csv").read_text().replace("m0.png", name)
    (root / "list.csv").write_text(table)
    return read_scenes(root)


def palette(ids: np.ndarray) -> Image.Image:
    image = Image.frombytes("P", ids.shape[::-1], ids.tobytes())
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    return image


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (Image.fromarray(quadrants()), "x.png"),
        (Image.fromarray(quadrants()), "x.tif"),
        (palette(quadrants()), "x.png"),
        (palette(quadrants()), "x.gif"),
        (Image.fromarray(quadrants().astype(np.uint16)), "x.png"),
        (Image.fromarray(quadrants().astype(np.int32)), "x.tif"),
    ],
    ids=["grey", "grey tiff", "palette", "gif", "16 bits", "32 bits"],
)
def test_maps_of_one_channel_are_read(tmp_path: Path, image: Image.Image, name: str) -> None:
    assert_upright(with_map(tmp_path, image, name))


@pytest.mark.parametrize(
    ("image", "name", "message"),
    [
        (Image.fromarray(quadrants()).convert("RGBA"), "x.png", r"but has 4 \(RGBA\); save the"),
        (Image.fromarray(quadrants()).convert("LA"), "x.png", r"but has 2 \(LA\); save the label"),
        (Image.fromarray(quadrants().astype(np.float32)), "x.tif", "holds fractions, but"),
        (Image.fromarray(quadrants()), "x.jpg", "is a JPEG, which changes the values"),
    ],
)
def test_pictures_that_hold_no_classes_are_refused(
    tmp_path: Path, image: Image.Image, name: str, message: str
) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(name)}: .*{message}"):
        with_map(tmp_path, image, name)


@pytest.mark.parametrize("value", [4, 255, 256, 65535])
def test_a_value_that_no_class_has_is_named(tmp_path: Path, value: int) -> None:
    ids = quadrants().astype(np.uint16)
    ids[3, 5] = value
    message = rf"m0\.png has the id {value}, which \S+classes\.csv does not name; name it there"
    with pytest.raises(ValueError, match=message):
        with_map(tmp_path, Image.fromarray(ids))


def test_a_value_below_zero_is_named(tmp_path: Path) -> None:
    ids = quadrants().astype(np.int32)
    ids[0, 0] = -1
    with pytest.raises(ValueError, match=r"x\.tif has the id -1, which"):
        with_map(tmp_path, Image.fromarray(ids), "x.tif")


# --- masks


def mask_folder(root: Path, mask: Image.Image, classes: str = "0,sky\n1,road\n") -> Path:
    """Three photos with the same mask."""
    scene_folder(root, [1] * 3, ["seen"] * 3)
    (root / "classes.csv").write_text(f"id,name\n{classes}")
    for number in range(3):
        mask.save(root / f"m{number}.png")
    return root


HALF = (quadrants() > 1).astype(np.uint8)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_masks_of_black_and_white_are_two_classes(tmp_path: Path, mode: str) -> None:
    mask = Image.fromarray(255 * HALF).convert(mode)
    for scene in scenes(read_scenes(mask_folder(tmp_path, mask))):
        np.testing.assert_array_equal(scene.labels.numpy(), HALF)


def test_a_mask_of_one_bit_is_turned_with_its_photo(tmp_path: Path) -> None:
    scene_folder(tmp_path, [8] * 3, ["stored"] * 3)
    (tmp_path / "classes.csv").write_text("id,name\n0,sky\n1,road\n")
    for number in range(3):
        Image.fromarray(as_stored(255 * HALF, 8)).convert("1").save(tmp_path / f"m{number}.png")
    for scene in scenes(read_scenes(tmp_path)):
        np.testing.assert_array_equal(scene.labels.numpy(), HALF)


def test_white_is_what_the_table_calls_it(tmp_path: Path) -> None:
    mask_folder(tmp_path, Image.fromarray(255 * HALF), "0,sky\n1,road\n255,void\n")
    values = [set(scene.labels.unique().tolist()) for scene in scenes(read_scenes(tmp_path))]
    assert values == [{0, 255}] * 3


def test_white_among_classes_is_no_mask(tmp_path: Path) -> None:
    mask_folder(tmp_path, Image.fromarray(255 * HALF))
    Image.fromarray(HALF).save(tmp_path / "m2.png")
    with pytest.raises(ValueError, match=r"m0\.png has the id 255, which"):
        read_scenes(tmp_path)
    mask_folder(tmp_path, Image.fromarray(255 * HALF).convert("1"), "0,sky\n255,road\n")
    with pytest.raises(ValueError, match=r"m0\.png has the id 1, which"):
        read_scenes(tmp_path)


def test_maps_and_photos_are_left_as_they_were_given() -> None:
    label = LabelMap(Path("m.png"), 255 * HALF)
    laid, notes = laid_on([label], [Turned(Path("i.png"), (64, 48), 3)])
    np.testing.assert_array_equal(laid[0].ids, 255 * HALF[::-1, ::-1])
    np.testing.assert_array_equal(unmasked(laid, (0, 1))[0].ids, HALF[::-1, ::-1])
    assert len(notes) == 1
    np.testing.assert_array_equal(label.ids, 255 * HALF)

"""One image file -> pixels: every mode, every fault, and no warning on the way."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rondo.data.pictures import Limits, PhotoError, read_each, read_many, read_pixels

ORIENTATION = 0x0112


def encode(image: Image.Image, form: str = "PNG", **options) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    stream.seek(0)
    return stream


def halves(mode: str, left, right) -> Image.Image:
    """A picture of 8x8 pixels of two colours."""
    image = Image.new(mode, (8, 8), right)
    image.paste(left, (0, 0, 4, 8))
    return image


def corners(pixels: np.ndarray) -> list[list[int]]:
    """The colours of the upper left and the lower right pixel."""
    return [pixels[:, 0, 0].tolist(), pixels[:, -1, -1].tolist()]


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG file that claims a size; its pixels are missing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        (halves("RGB", (255, 0, 0), (0, 0, 255)), [255, 0, 0], [0, 0, 255]),
        (halves("L", 10, 200), [10] * 3, [200] * 3),
        (halves("1", 0, 1), [0] * 3, [255] * 3),
        (halves("LA", (10, 255), (10, 0)), [10] * 3, [255] * 3),
        (halves("RGBA", (255, 0, 0, 255), (0, 0, 0, 0)), [255, 0, 0], [255] * 3),
        (halves("RGBA", (0, 0, 0, 51), (0, 0, 0, 255)), [204] * 3, [0] * 3),
        (halves("I;16", 0x8080, 65535), [128] * 3, [255] * 3),
        (halves("RGB", (9, 8, 7), (1, 2, 3)).quantize(4), [9, 8, 7], [1, 2, 3]),
    ],
    ids=["rgb", "grey", "one bit", "grey alpha", "clear", "half clear", "16 bits", "palette"],
)
def test_every_mode_of_png_becomes_rgb(image, left, right):
    assert corners(read_pixels(encode(image), 8)) == [left, right]


def test_32_bit_greys_are_scaled_by_what_they_need():
    small = halves("I", 0, 65535)
    large = halves("I", 2**30, 2**31 - 1)
    assert corners(read_pixels(encode(small, "TIFF"), 8)) == [[0] * 3, [255] * 3]
    assert corners(read_pixels(encode(large, "TIFF"), 8)) == [[128] * 3, [255] * 3]


def test_a_clear_palette_colour_lies_on_white():
    image = halves("P", 0, 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    stream = encode(image, transparency=0)
    assert corners(read_pixels(stream, 8)) == [[255] * 3, [40, 50, 60]]


def test_a_jpeg_for_print_keeps_its_colours():
    stream = encode(halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "JPEG", quality=100)
    left, right = corners(read_pixels(stream, 8))
    assert left[0] > 240
    assert max(left[1:]) < 15
    assert max(right) < 15


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_every_named_format_is_read(form):
    pixels = read_pixels(encode(Image.new("RGB", (20, 10), (200, 100, 50)), form), 5)
    assert pixels.shape == (3, 5, 5)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels[:, 2, 2].astype(int) - (200, 100, 50)).max() <= 8


def test_other_formats_are_refused():
    with pytest.raises(PhotoError, match="is not a picture in one of the formats JPEG, PNG"):
        read_pixels(encode(Image.new("RGB", (8, 8)), "ICO"), 8)


def test_the_picture_is_turned_upright():
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the top of the scene is on the right
    stream = encode(halves("RGB", (255, 255, 255), (0, 0, 0)), "PNG", exif=exif)
    pixels = read_pixels(stream, 8)
    assert pixels[:, 0].min() == 255
    assert pixels[:, -1].max() == 0


def test_a_damaged_exif_block_does_not_cost_the_photo():
    stream = encode(Image.new("L", (8, 8), 90), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert abs(int(read_pixels(stream, 4)[0, 0, 0]) - 90) <= 2


def test_the_centre_is_cut_out():
    image = Image.new("RGB", (30, 10), "red")
    image.paste((0, 255, 0), (10, 0, 20, 10))
    assert corners(read_pixels(encode(image), 10)) == [[0, 255, 0], [0, 255, 0]]


def test_shrinking_averages():
    stripes = Image.fromarray(np.tile(np.uint8([[0], [255]]), (32, 64)))
    assert np.abs(read_pixels(encode(stripes), 4).astype(int) - 127).max() <= 3


def test_a_large_jpeg_is_shrunk_as_well_as_a_png():
    ramp = np.linspace(0, 255, 1024).astype(np.uint8)
    image = Image.fromarray(np.tile(ramp, (1024, 1)))
    jpeg = read_pixels(encode(image, "JPEG", quality=98), 16).astype(int)
    assert np.abs(jpeg - read_pixels(encode(image), 16)).max() <= 3


def test_one_pixel_is_enough():
    pixels = read_pixels(encode(Image.new("RGB", (1, 1), (1, 2, 3))), 7)
    assert (pixels == np.reshape([1, 2, 3], (3, 1, 1))).all()


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    stream = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert corners(read_pixels(stream, 8))[0] == [255, 0, 0]


@pytest.mark.parametrize("size", [(10_001, 10_000), (60_000, 60_000)])
def test_an_enormous_picture_is_refused_by_its_header(size):
    with pytest.raises(PhotoError, match="more than 100,000,000 pixels; save a smaller copy"):
        read_pixels(io.BytesIO(png_header(*size)), 8)


def test_a_large_picture_is_opened_without_a_warning():
    with pytest.raises(PhotoError, match="the picture is damaged or cut off"):
        read_pixels(io.BytesIO(png_header(9_500, 10_000)), 8)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(num_bytes=80), "larger than 80 bytes; save a smaller copy"),
        (Limits(num_pixels=63), "more than 63 pixels; save a smaller copy"),
        (Limits(side=9), "the picture is only 8 x 8 pixels; take one of 9 x 9 or more"),
        (Limits(formats=("JPEG",)), "in one of the formats JPEG; convert it to JPEG or PNG"),
    ],
)
def test_what_is_beyond_the_limits_is_refused(limits, message):
    whole = encode(Image.effect_noise((8, 8), 50))
    with pytest.raises(PhotoError, match=message):
        read_pixels(whole, 8, limits)


def test_floating_point_colours_are_refused():
    with pytest.raises(PhotoError, match="holds colours of the kind 'F'; save it as 8-bit RGB"):
        read_pixels(encode(Image.new("F", (8, 8)), "TIFF"), 8)


def test_faults_of_files(tmp_path: Path):
    whole = encode(Image.effect_noise((64, 64), 50), "JPEG").getvalue()
    faults = {
        "empty.jpg": (b"", "the file is empty; copy or download it again"),
        "cut.jpg": (whole[: len(whole) // 2], "damaged or cut off; copy or download it again"),
        "text.jpg": (b"not a picture at all", "is not a picture in one of the formats"),
    }
    for name, (contents, message) in faults.items():
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(PhotoError, match=f"{name}.*{message}"):
            read_pixels(tmp_path / name, 8)
    with pytest.raises(PhotoError, match="is a folder; name one photo in it"):
        read_pixels(tmp_path, 8)
    with pytest.raises(PhotoError, match=r"gone\.jpg: the file is missing; check the path"):
        read_pixels(tmp_path / "gone.jpg", 8)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch):
    file = tmp_path / "closed.jpg"
    file.write_bytes(b"x")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PhotoError, match=r"cannot be read \(Permission denied\); check its perm"):
        read_pixels(file, 8)


def test_the_size_must_be_positive():
    with pytest.raises(ValueError, match="image_size must be 1 pixel or more, got 0"):
        read_pixels(io.BytesIO(), 0)


def test_many_keep_their_order_and_tell_their_faults(tmp_path: Path):
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for number, path in enumerate(paths):
        path.write_bytes(encode(Image.new("L", (4, 4), number)).getvalue())
    paths[7].write_bytes(b"")
    pixels, errors = read_many(paths, 2)
    assert pixels[:, 0, 0, 0].tolist() == [number for number in range(20) if number != 7]
    assert {index: error.reason for index, error in errors.items()} == {7: "the file is empty"}


def test_it_reads_no_further_ahead_than_its_threads_reach(tmp_path: Path):
    picture = encode(Image.new("L", (4, 4))).getvalue()
    paths = [tmp_path / f"{number}.png" for number in range(100)]
    for path in paths:
        path.write_bytes(picture)
    opened: list[int] = []

    def seen(image: Image.Image) -> int:
        opened.append(0)
        return 0

    reading = read_each(paths, seen)
    assert [next(reading) for _ in range(3)] == [0, 0, 0]
    reading.close()
    assert 3 <= len(opened) <= 10


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(contents):
    _read_or_refuse(contents)


PICTURES = [
    encode(Image.radial_gradient("L").resize((24, 24)), form).getvalue()
    for form in ("PNG", "GIF", "TIFF", "BMP", "JPEG", "WEBP", "PPM")
]


@settings(max_examples=300)
@given(st.sampled_from(PICTURES), st.data())
def test_damaged_pictures_raise_nothing_else(contents, data):
    damaged = bytearray(contents)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    _read_or_refuse(bytes(damaged[: data.draw(st.integers(0, len(contents)))]))


def _read_or_refuse(contents: bytes) -> None:
    with contextlib.suppress(PhotoError):
        assert read_pixels(io.BytesIO(contents), 4).shape == (3, 4, 4)

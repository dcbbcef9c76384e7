"""Small folders of pictures of words, for the tests of the task `text`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = ImageFont.load_default(24)


def picture(text: str, width: int = 64) -> Image.Image:
    """A word, black on white."""
    image = Image.new("RGB", (width, 32), "white")
    ImageDraw.Draw(image).text((4, 0), text, "black", font=FONT)
    return image


def folder_of(path: Path, rows: list[tuple[str, str, str]], *, width: int = 64) -> Path:
    """A folder with `labels.csv` and a picture for each row (file, text, split)."""
    path.mkdir(parents=True, exist_ok=True)
    for file, text, _ in rows:
        picture(text, width).save(path / file)
    lines = [",".join(row) for row in rows]
    (path / "labels.csv").write_text("file,text,split\n" + "\n".join(lines) + "\n")
    return path


def words_folder(path: Path, texts: tuple[str, ...]) -> Path:
    """Every text once in each split."""
    rows = [
        (f"{split}{number}.png", text, split)
        for split in ("train", "val", "test")
        for number, text in enumerate(texts)
    ]
    return folder_of(path, rows)

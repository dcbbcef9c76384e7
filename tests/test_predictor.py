from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from photo_runs import SHORT, TinyNetwork, add_network, new_run, photo_data, run_config, trained_run
from rondo.errors import RunError
from rondo.tasks.photo import answers as predictor_module
from rondo.tasks.photo.answers import Prediction, Predictor
from rondo.tasks.photo.evaluation import predict
from rondo.training.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    add_network(monkeypatch, TinyNetwork)
    return trained_run(tmp_path / "run", run_config(photo_data()))


def picture(number: int) -> bytes:
    pixels = photo_data()["test"].pixels[number].permute(1, 2, 0).numpy()
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def files(path: Path) -> list[Path]:
    """Good, broken, good, missing, good."""
    paths = [path / f"{number}.png" for number in range(5)]
    for number in (0, 2, 4):
        paths[number].write_bytes(picture(number))
    paths[1].write_bytes(picture(1)[:60])
    return paths


def test_a_broken_image_does_not_stop_the_others(folder: RunFolder, tmp_path: Path) -> None:
    paths = files(tmp_path)
    predictions = Predictor.load(folder.path).predict(paths)
    assert [prediction.source for prediction in predictions] == [str(path) for path in paths]
    assert [prediction.error is None for prediction in predictions] == [
        True,
        False,
        True,
        False,
        True,
    ]
    for broken in (predictions[1], predictions[3]):
        assert broken.answer is broken.probability is broken.probabilities is None
        assert str(broken.source) in str(broken.error)


def test_predictions_are_those_of_the_evaluation(folder: RunFolder, tmp_path: Path) -> None:
    paths = files(tmp_path)
    predictions = Predictor.load(folder.path).predict(paths)
    expected = predict(
        folder.read_model(),
        photo_data()["test"].pixels[:5],
        mirror=SHORT.mirror,
        precision="float32",
    )
    assert expected is not None
    for number in (0, 2, 4):
        female, male = expected[number].tolist()
        prediction = predictions[number]
        assert prediction.probabilities == pytest.approx({"female": female, "male": male})
        assert prediction.answer == ("male" if male > female else "female")
        assert prediction.probability == pytest.approx(max(female, male))


def test_images_are_read_from_streams(folder: RunFolder) -> None:
    predictor = Predictor.load(folder.path)
    good, bad = predictor.predict([BytesIO(picture(0)), BytesIO(b"no image")])
    assert good.source == bad.source == "standard input"
    assert good.error is None
    assert bad.error is not None


def test_many_images_are_read_in_parts(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = files(tmp_path)
    together = Predictor.load(folder.path).predict(paths)
    monkeypatch.setattr(predictor_module, "PHOTOS_AT_A_TIME", 2)
    for one, other in zip(together, Predictor.load(folder.path).predict(paths), strict=True):
        assert replace(one, probability=None, probabilities=None) == replace(
            other, probability=None, probabilities=None
        )
        assert one.probabilities == pytest.approx(other.probabilities)


def test_nothing_gives_nothing(folder: RunFolder) -> None:
    assert Predictor.load(folder.path).predict([]) == []


def test_a_run_without_weights_is_refused(tmp_path: Path) -> None:
    unfinished = new_run(tmp_path / "run", run_config(photo_data()))
    with pytest.raises(RunError, match="has not finished an epoch yet"):
        Predictor.load(unfinished.path)


def test_the_mirror_image_is_a_matter_of_the_recipe(folder: RunFolder, tmp_path: Path) -> None:
    path = files(tmp_path)[0]
    with_mirror = Predictor.load(folder.path).predict([path])[0]
    plain = run_config(photo_data(), replace(SHORT, mirror=0.0))
    other = trained_run(tmp_path / "other", plain, folder.read_model())
    without = Predictor.load(other.path).predict([path])[0]
    assert isinstance(without, Prediction)
    assert with_mirror.probability != without.probability

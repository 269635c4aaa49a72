"""What a run takes over: images that its starting weights or teachers saw, and their licence."""

from dataclasses import replace

import pytest
import torch

from edge_mri.errors import ModelNotFoundError
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.evaluation.evaluating import EvaluationConfig, evaluate
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.training.inheritance import SHIPPED_LICENCE, Inheritance
from edge_mri_train.training.run import resume, train


@pytest.fixture
def licensed(finished, tmp_path):
    """The finished run's checkpoint, with a licence."""
    checkpoint = Checkpoint.load(finished / "checkpoint.pt")
    path = tmp_path / "licensed.pt"
    training = checkpoint.training | {"licence": "MIT"}
    replace(checkpoint, training=training).save(path)
    return path


def remembered(path) -> SeenImages:
    return SeenImages.from_bytes(Checkpoint.load(path).seen)


def test_images_that_a_model_was_fine_tuned_from_are_not_new_to_it(
    tiny, licensed, finished, phantoms, type_only, tmp_path
):
    few = tmp_path / "few"
    for folder in sorted(type_only.iterdir()):
        (few / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:4]:
            picture = file.read_bytes()
            (few / folder.name / file.name).write_bytes(picture)
    path = train(
        tiny(data=(str(few),), init_weights=str(licensed), epochs=1), tmp_path / "run", NoProgress()
    )
    assert len(remembered(path)) == len(remembered(finished / "checkpoint.pt")) == 48
    report = evaluate(EvaluationConfig(model=path, data=(phantoms,)), NoProgress()).report
    assert report["subsets"]["duplicate_free"] is None


def test_the_licence_goes_along_and_survives_a_resume(tiny, licensed, tmp_path):
    config = tiny(init_weights=str(licensed), epochs=1)
    path = train(config, tmp_path / "run", NoProgress())
    assert Checkpoint.load(path).training["licence"] == "MIT"
    assert (tmp_path / "run" / "licence.txt").read_text() == "MIT\n"
    licensed.unlink()
    (tmp_path / "run" / "last.pt").unlink()  # so that the epoch is trained once more
    (tmp_path / "run" / "checkpoint.pt").unlink()
    replace(config, init_weights="none").write(tmp_path / "run" / "config.json")
    path = resume(tmp_path / "run", NoProgress())
    assert Checkpoint.load(path).training["licence"] == "MIT"


def test_teachers_count_and_licences_are_joined(tiny, licensed, finished):
    shipped = Inheritance.of(tiny(init_weights="shipped", distill=(str(licensed),)))
    assert shipped.licence == f"{SHIPPED_LICENCE} AND MIT"
    assert [len(one) for one in shipped.seen] == [16189, 48]
    teacher = str(finished / "checkpoint.pt")
    assert Inheritance.of(tiny(distill=(teacher,))).licence == ""


def test_a_plain_state_dict_brings_nothing_and_a_missing_teacher_is_an_error(tiny, tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "plain.pth")
    plain = Inheritance.of(tiny(init_weights=str(tmp_path / "plain.pth")))
    assert plain == Inheritance((), "")
    with pytest.raises(ModelNotFoundError):
        Inheritance.of(tiny(distill=(str(tmp_path / "gone.pt"),)))

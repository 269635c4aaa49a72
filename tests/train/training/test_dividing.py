import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri.errors import OptionError
from edge_mri.labels import LabelSpace
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.manifest import manifest_space, read_manifest, write_manifest
from edge_mri_train.data.partition import partition
from edge_mri_train.data.split import SplitConfig
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import LabelsMissingError, ManifestError
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.training.dividing import divided
from edge_mri_train.training.run import train


@pytest.fixture(scope="module")
def manifest(phantoms, tmp_path_factory) -> Callable[..., Path]:
    """Divide the phantoms and write the manifest."""

    def make(config: SplitConfig) -> Path:
        path = tmp_path_factory.mktemp("manifest") / "m.csv"
        rows = partition(read_folders([phantoms]), config, NoProgress()).rows
        write_manifest(rows, path)
        return path

    return make


def sides(path: Path) -> dict[str, str]:
    return {row.sha256: row.sample.split for row in read_manifest(path)}


def test_type_alone_can_be_learned_from_images_with_planes(tiny, tmp_path, recorder):
    path = train(tiny(task="type", epochs=1), tmp_path / "run", recorder)
    assert Checkpoint.load(path).labels == LabelSpace.for_task("type")
    (entry,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert entry["plane_n"] is None
    assert entry["score"] == entry["type_balanced_accuracy"]
    assert "plane " not in recorder.lines[-1]


def test_auto_asks_the_folders_whether_there_are_planes(tiny, tmp_path, type_only):
    path = train(tiny(data=(str(type_only),), epochs=1), tmp_path / "run", NoProgress())
    assert Checkpoint.load(path).labels == LabelSpace.for_task("type")


def test_sets_with_and_without_planes_train_together(tiny, tmp_path, phantoms, type_only, recorder):
    data = (str(type_only), str(phantoms))
    path = train(tiny(data=data, epochs=1), tmp_path / "run", recorder)
    assert Checkpoint.load(path).labels == LabelSpace()
    assert recorder.lines[0].splitlines()[1] == (
        "glioma               4         4         4        12        24"
    )
    # The two sets have the same images: each is twice on its side.
    rows = read_manifest(tmp_path / "run" / "split.csv")
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row.sha256, set()).add(row.sample.split)
    assert len(rows) == 96
    assert len(sides) == 48
    assert all(len(side) == 1 for side in sides.values())
    (entry,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert entry["type_n"] == 2 * entry["plane_n"]


def test_planes_that_no_folder_names_cannot_be_learned(tiny, tmp_path, type_only):
    config = tiny(data=(str(type_only),), task="type-plane")
    with pytest.raises(LabelsMissingError) as caught:
        train(config, tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        "no class folder names a plane; use --task type, or add a set whose folders do, "
        "such as glioma_axial"
    )
    assert not (tmp_path / "run").exists()


def test_a_type_without_images_is_named_and_no_answer_of_the_model(
    tiny, tmp_path, type_only, recorder
):
    shutil.copytree(type_only, tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "pituitary")
    config = tiny(data=(str(tmp_path / "set"),), epochs=1)
    path = train(config, tmp_path / "run", recorder)
    assert (
        "Warning: no image of type pituitary; the model will tell apart glioma, meningioma, "
        "no_tumor."
    ) in recorder.lines
    space = LabelSpace(("glioma", "meningioma", "no_tumor"), ())
    assert Checkpoint.load(path).labels == space
    assert manifest_space(tmp_path / "run" / "split.csv").types == space.types


def test_one_type_alone_is_refused(tiny, tmp_path, type_only):
    shutil.copytree(type_only / "glioma", tmp_path / "set" / "glioma")
    with pytest.raises(LabelsMissingError) as caught:
        train(tiny(data=(str(tmp_path / "set"),)), tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        "all 12 images are of one type, glioma; expected two or more to tell apart"
    )
    assert not (tmp_path / "run").exists()


def test_a_type_with_one_image_cannot_be_validated(tiny, tmp_path, type_only):
    shutil.copytree(type_only, tmp_path / "set")
    first, *others = sorted((tmp_path / "set" / "glioma").iterdir())
    for file in others:
        shutil.copy(first, file)  # one image, twelve times
    with pytest.raises(LabelsMissingError, match=r"^no validation image of type glioma; expected"):
        train(tiny(data=(str(tmp_path / "set"),)), tmp_path / "run", NoProgress())


def test_images_in_test_folders_are_left_out(tiny, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "set" / "Training")
    shutil.copytree(type_only, tmp_path / "set" / "Testing")
    train(tiny(data=(str(tmp_path / "set"),), epochs=1), tmp_path / "run", recorder)
    assert recorder.lines[0] == "Left out 48 images in test folders."
    rows = read_manifest(tmp_path / "run" / "split.csv")
    assert {row.sample.path.parts[0] for row in rows} == {"Training"}
    assert len(rows) == 48


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_validation_folders_validate(tiny, tmp_path, heads, recorder, name):
    """A head a class trains, another validates, and one of these lies on the other side too."""
    train_side, val_side = tmp_path / "set" / "train", tmp_path / "set" / name
    shutil.copytree(heads, train_side)
    for file in sorted(train_side.glob("*/*"))[::2]:
        (val_side / file.parent.name).mkdir(parents=True)
        file.rename(val_side / file.parent.name / file.name)
    again = train_side / "glioma_axial" / "again.png"
    shutil.copy(next(val_side.glob("glioma_axial/*")), again)
    parts = divided(tiny(data=(str(tmp_path / "set"),)), recorder)
    sides = {row.sample.file: row.sample.split for row in parts.rows}
    assert {file for file, side in sides.items() if side == "val"} == set(val_side.glob("*/*"))
    others = {file for file, side in sides.items() if side == "train"}
    assert others == set(train_side.glob("*/*")) - {again}
    assert len(parts.fingerprints) == len(sides) == 24
    assert recorder.lines[-1] == (
        "The 12 images in validation folders validate, 12 train, 1 that repeat one of the former "
        "are left out; to divide anew, give --split a manifest of `edge-mri split`."
    )


def test_a_validation_folder_alone_is_divided(tiny, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "val")
    parts = divided(tiny(data=(str(tmp_path / "val"),)), recorder)
    assert {row.sample.split for row in parts.rows} == {"train", "val"}


def test_validation_folders_that_lack_a_type_are_refused(tiny, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "set" / "train")
    shutil.copytree(type_only / "glioma", tmp_path / "set" / "val" / "glioma")
    with pytest.raises(LabelsMissingError, match=r"^no validation image of type meningioma, pitu"):
        divided(tiny(data=(str(tmp_path / "set"),)), recorder)


def test_a_test_folder_alone_is_trained_on_as_asked(tiny, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "Testing")
    train(tiny(data=(str(tmp_path / "Testing"),), epochs=1), tmp_path / "run", recorder)
    assert recorder.lines[0] == (
        "All images lie in a test folder: training on it as it was asked for."
    )


def test_a_manifest_says_what_trains_and_what_validates(tiny, tmp_path, manifest, recorder):
    path = manifest(SplitConfig({"train": 0.5, "val": 0.25, "test": 0.25}))
    config = tiny(data=(), split=str(path), epochs=1)
    checkpoint = Checkpoint.load(train(config, tmp_path / "run", recorder))
    given = {key: side for key, side in sides(path).items() if side != "test"}
    assert sides(tmp_path / "run" / "split.csv") == given
    counts = [list(given.values()).count(side) for side in ("train", "val")]
    assert list(checkpoint.training["images"].values()) == counts
    assert len(SeenImages.from_bytes(checkpoint.seen)) == sum(counts) < 48
    assert str(path) not in json.dumps(checkpoint.training)


def test_a_fold_validates_and_the_others_train(tiny, tmp_path, manifest):
    path = manifest(SplitConfig.folds(3))
    train(tiny(data=(), split=str(path), fold=1, epochs=1), tmp_path / "run", NoProgress())
    expected = {key: "val" if side == "fold-1" else "train" for key, side in sides(path).items()}
    assert sides(tmp_path / "run" / "split.csv") == expected


@pytest.mark.parametrize(
    ("folds", "fold", "reason"),
    [
        (3, None, "it has 3 folds; say which validates with --fold"),
        (3, 3, "it has no fold 3, only fold-0, fold-1, fold-2"),
        (0, 0, "it has no fold 0, only none"),
    ],
)
def test_a_fold_must_be_one_of_the_manifest(tiny, tmp_path, manifest, folds, fold, reason):
    path = manifest(SplitConfig.folds(folds) if folds else SplitConfig())
    with pytest.raises(ManifestError) as caught:
        train(tiny(data=(), split=str(path), fold=fold), tmp_path / "run", NoProgress())
    assert str(caught.value) == f"the split manifest {path} cannot be used: {reason}"
    assert not (tmp_path / "run").exists()


def test_a_manifest_whose_files_changed_is_refused_with_the_list(tiny, tmp_path, phantoms):
    shutil.copytree(phantoms, tmp_path / "set")
    samples = read_folders([tmp_path / "set"])
    rows = partition(samples, SplitConfig(), NoProgress()).rows
    write_manifest(rows, tmp_path / "m.csv")
    rows[3].sample.file.write_bytes(rows[4].sample.file.read_bytes())
    rows[7].sample.file.unlink()
    with pytest.raises(
        ManifestError, match=r"2 of its 48 files are not what they were: "
    ) as caught:
        train(tiny(data=(), split=str(tmp_path / "m.csv")), tmp_path / "run", NoProgress())
    for row, told in ((rows[3], "changed"), (rows[7], "missing")):
        assert f"{row.sample.path} ({told})" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_maps_and_an_index_say_what_folders_mean(tiny, tmp_path, phantoms):
    lines = [
        f"{file.relative_to(phantoms)},{file.parent.name.rpartition('_')[0]}"
        for file in sorted(phantoms.glob("*/*.png"))
    ]
    text = "\n".join(["path,label", *lines]).replace(",glioma", ",odd")
    (tmp_path / "index.csv").write_text(text)
    config = tiny(maps=("odd=glioma",), index=str(tmp_path / "index.csv"), epochs=1)
    checkpoint = Checkpoint.load(train(config, tmp_path / "run", NoProgress()))
    assert checkpoint.labels == LabelSpace.for_task("type")
    labels = Counter(row.sample.label.type for row in read_manifest(tmp_path / "run" / "split.csv"))
    assert set(labels.values()) == {12}
    resolved = replace(config, frozen_trunk="no")  # nothing to start from
    assert TrainConfig.read(tmp_path / "run" / "config.json") == resolved


@pytest.fixture
def two_sets(phantoms, tmp_path) -> Path:
    """A manifest of the phantoms and a second set, of which one image repeats one of the first."""
    second = tmp_path / "second"
    for label in LabelSpace().classes:
        folder = second / f"{label.type}_{label.plane}"
        folder.mkdir(parents=True)
        for number in range(2):
            image = draw_phantom(label, size_px=96, seed=77, index=number)
            cv2.imwrite(str(folder / f"{number}.png"), image)
    first = sorted(phantoms.glob("glioma_axial/*.png"))[0]
    shutil.copy(first, second / "glioma_axial" / "copy.png")
    path = tmp_path / "two.csv"
    rows = partition(read_folders([phantoms, second]), SplitConfig(), NoProgress()).rows
    assert any(row.sample.root == second and row.sample.split == "train" for row in rows)
    write_manifest(rows, path)
    return path


def test_a_set_that_only_validates_trains_nothing_nor_does_what_repeats_it(
    tiny, two_sets, tmp_path
):
    config = tiny(data=(), split=str(two_sets), validate_only=("second",))
    before = read_manifest(two_sets)
    rows = divided(config, NoProgress()).rows
    assert {row.sample.split for row in rows if row.sample.root.name == "second"} == {"val"}
    of_second = {row.group for row in before if row.sample.root.name == "second"}
    trained = {row.group for row in rows if row.sample.split == "train"}
    assert trained
    assert not trained & of_second
    kept = [row for row in before if row.group not in of_second]
    sides_before = {row.sha256: row.sample.split for row in kept}
    assert {
        row.sha256: row.sample.split for row in rows if row.sha256 in sides_before
    } == sides_before


def test_a_set_that_is_not_there_cannot_validate(tiny, two_sets):
    config = tiny(data=(), split=str(two_sets), validate_only=("third",))
    with pytest.raises(ManifestError, match=r"it has no set third to validate, only .*second"):
        divided(config, NoProgress())


def test_a_set_validates_by_a_manifest_alone(tiny):
    with pytest.raises(OptionError, match="--validate-only names a set of a manifest"):
        tiny(validate_only=("second",))


def test_a_recipe_may_say_what_only_validates_and_the_command_line_wins(two_sets, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'arch = "squeezenet1_1"\ninit_weights = "none"\nimage_size = 32\nepochs = 1\n'
        'batch_size = 8\nvalidate_only = ["third"]\n'
    )
    options = ["train", "--recipe", str(recipe), "--split", str(two_sets), "--out"]
    refused = CliRunner().invoke(main, [*options, str(tmp_path / "one")])
    assert refused.exit_code == 2
    assert "it has no set third to validate" in refused.stderr
    result = CliRunner().invoke(
        main, [*options, str(tmp_path / "other"), "--validate-only", "second"]
    )
    assert result.exit_code == 0, result.stderr
    written = TrainConfig.read(tmp_path / "other" / "config.json")
    assert written.validate_only == ("second",)

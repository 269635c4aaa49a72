import shutil
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri.errors import OptionError
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.image_sets import ImageSets
from edge_mri_train.data.manifest import read_manifest


@pytest.fixture
def sets(phantoms: Path, tmp_path: Path) -> Path:
    """Three sets that say what they show by folders, by other folders, and by an index."""
    files = sorted(phantoms.glob("*/*.png"))
    lines = ["path,label,plane,patient"]
    for number, file in enumerate(files):
        kind, _, plane = file.parent.name.rpartition("_")
        part = number % 3
        if part == 0:
            target = tmp_path / "plain" / file.parent.name / file.name
        elif part == 1:
            target = tmp_path / "odd" / f"{kind}s" / f"P{number % 4}_{number}.png"
        else:
            target = tmp_path / "listed" / "all" / f"{number}.png"
            lines.append(
                f"all/{number}.png,{'tumor' if kind == 'glioma' else kind},{plane},p{number}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    lines.append(lines[-1])  # as tables joined from parts have it
    (tmp_path / "listed" / "index.csv").write_text("\n".join(lines))
    path = tmp_path / "sets.toml"
    path.write_text(
        """
        [[set]]
        folder = "plain"
        [[set]]
        folder = "odd"
        group_pattern = '(P\\d)_'
        [set.map]
        gliomas = "glioma"
        meningiomas = "meningioma"
        pituitarys = "pituitary"
        no_tumors = "no_tumor"
        [[set]]
        folder = "listed"
        index = "listed/index.csv"
        """
    )
    return path


def test_each_set_is_read_as_it_is_laid_out(sets, phantoms, tmp_path):
    out = tmp_path / "split.csv"
    result = CliRunner().invoke(main, ["split", str(sets), "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = read_manifest(out)
    assert len(rows) == len(list(phantoms.glob("*/*.png")))
    of_set = Counter(row.sample.root.name for row in rows)
    assert set(of_set) == {"plain", "odd", "listed"}
    listed = {row.sample.label.types for row in rows if row.sample.root.name == "listed"}
    assert ("glioma", "meningioma", "pituitary") in listed
    patients = {
        row.sample.path.name[:2]: row.group for row in rows if row.sample.root.name == "odd"
    }
    for row in rows:
        if row.sample.root.name == "odd":
            assert row.group == patients[row.sample.path.name[:2]]


def test_a_training_takes_the_file_as_data(sets, tmp_path):
    quick = ("--arch", "squeezenet1_1", "--init-weights", "none", "--image-size", "32")
    result = CliRunner().invoke(
        main,
        ["train", "--data", str(sets), *quick, "--epochs", "1", "--out", str(tmp_path / "run")],
    )
    assert result.exit_code == 0, result.output
    rows = read_manifest(tmp_path / "run" / "split.csv")
    assert {row.sample.root.name for row in rows} == {"plain", "odd", "listed"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no set; expected tables [[set]]"),
        ("[[sets]]\nfolder = 'a'", "it has sets; expected tables [[set]]"),
        (
            "[[set]]",
            "a set has nothing; expected folder, and any of map, index, pattern, group_pattern",
        ),
        (
            "[[set]]\nfolder = 'a'\nmpa = 'b'",
            "a set has folder, mpa; expected folder, and any of map, index, pattern, group_pattern",
        ),
        ("[[set]]\nfolder = 'a'\n[[set]]\nfolder = 'a'", "it names {}/a again; each set once"),
        ("[[set]]\nfolder = 3", "folder is 3; expected a text"),
        ("[[set]]\nfolder = 'a'\nmap = 3", "map is 3; expected a table of folder = label"),
        ("labels = 1\n[[set]]\nfolder = 'a'", "labels is 1; expected a file"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_in_a_line(tmp_path, text, reason):
    path = tmp_path / "sets.toml"
    path.write_text(text)
    with pytest.raises(OptionError) as caught:
        ImageSets.of([path], None, (), None, None, NoProgress())
    assert str(caught.value) == f"{path}: {reason.format(tmp_path)}"


def test_other_options_do_not_go_with_the_file(sets, tmp_path):
    result = CliRunner().invoke(
        main, ["split", str(sets), "--map", "a=skip", "--out", str(tmp_path / "o.csv")]
    )
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {sets} tells the sets and how they are laid out; give it alone, without folders, "
        "--labels, --map, --index, --pattern and groups\n",
    )

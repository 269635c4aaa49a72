"""Whatever bytes stand in a file that a command of training reads: an answer or a line."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_mri.cli import main
from edge_mri.errors import EdgeMriError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import Label
from edge_mri_train.data.folders import Sample, list_folders
from edge_mri_train.data.grouping import IdSource
from edge_mri_train.data.layout import Layout
from edge_mri_train.data.manifest import read_left_out, read_manifest
from edge_mri_train.data.outlines import _outlines, lesion_mask
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import IndexFileError, OutlineError
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.recipe_files import read_recipe

MANY = 1_000_000


@pytest.fixture
def one(tmp_path, head, save):
    """A set of one image."""
    save(tmp_path / "set" / "glioma" / "a.png", head(0))
    return tmp_path / "set"


def refusal(root: Path, rows: str) -> str:
    index = root.parent / "index.csv"
    index.write_text(f"path,label\n{rows}")
    with pytest.raises(IndexFileError) as caught:
        list_folders([root], Layout(index=index))
    prefix = f"the index {index} cannot be used: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


@pytest.mark.parametrize(
    "path", ["../../x.png", "/etc/hostname", "glioma/../../x.png", "..", ".", "a\0.png"]
)
def test_a_path_of_an_index_that_leaves_the_set_is_refused(one, path):
    said = refusal(one, f"{path},glioma\n")
    assert said == f"line 2: path {path!r}; expected that of a file below the set's folder"


def test_a_link_of_an_index_that_leaves_the_set_is_refused(one):
    (one.parent / "away.png").write_bytes((one / "glioma" / "a.png").read_bytes())
    (one / "link.png").symlink_to("../away.png")
    (one / "within.png").symlink_to("glioma/a.png")
    said = refusal(one, "within.png,glioma\nlink.png,glioma\n")
    assert said == (
        f"link.png is a link that leaves {one}; put the file itself there, or leave it out"
    )


@pytest.mark.parametrize("again", ["glioma/a.png", "./glioma//a.png", "glioma/../glioma/a.png"])
def test_a_million_rows_of_one_file_with_another_label_end_at_the_second(one, again):
    said = refusal(one, "glioma/a.png,glioma\n" + f"{again},meningioma\n" * MANY)
    assert said == "line 3: it names glioma/a.png again, with another label than line 2"


COMMANDS = {
    "index": ("audit", "SET", "--index", "FILE"),
    "groups": ("audit", "SET", "--groups", "FILE"),
    "manifest": ("audit", "--manifest", "FILE"),
    "leave-out": ("split", "SET", "--out", "OUT.csv", "--leave-out", "FILE"),
    "split": ("train", "--split", "FILE", "--out", "OUT"),
    "recipe": ("train", "--data", "SET", "--recipe", "FILE.toml", "--out", "OUT"),
    "init-weights": (
        "train", "--data", "SET", "--arch", "squeezenet1_1", "--init-weights", "FILE", "--out",
        "OUT",
    ),
    "distill": ("train", "--data", "SET", "--distill", "FILE", "--init-weights", "none", "--out",
                "OUT"),
    "model": ("evaluate", "FILE.pt", "--data", "SET"),
    "against": ("evaluate", "CHECKPOINT", "--data", "SET", "--against", "FILE"),
}  # fmt: skip
HOSTILE = {
    "pipe": lambda path: os.mkfifo(path),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "loop": lambda path: path.symlink_to(path.name),
    "empty": lambda path: path.touch(),
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(4096)),
    "nulls": lambda path: path.write_bytes(bytes(4096)),
    "deep": lambda path: path.write_bytes(b"a=" + b"[" * 100_000),
    "huge": lambda path: (path.touch(), os.truncate(path, 60 * 2**30)),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_such_file_is_one_line(name, kind, one, finished, tmp_path):
    names = {"SET": one, "CHECKPOINT": finished / "checkpoint.pt"}
    command = [
        str(names.get(part, tmp_path / part if part.isupper() or "." in part else part))
        for part in COMMANDS[name]
    ]
    HOSTILE[kind](next(Path(part) for part in command if Path(part).name.startswith("FILE")))
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert result.stderr.splitlines()[-1] == errors[0]
    assert not (tmp_path / "OUT").exists()


cells = st.sampled_from(
    ["", "a.png", "../a.png", "/a", "\0", "glioma", "axial", "train", "fold-0", "9",
     "nan", "\ud800", "=1", "'", "dropped", "x" * 500]
) | st.text(max_size=8)  # fmt: skip
heads_of_tables = st.sampled_from(
    ["path,label", "path,type,plane,split,group", "path,group", "sha256", "path,path,label,label",
     "set,path,sha256,type,plane,group,split"]
)  # fmt: skip
tables = st.builds(
    lambda head, rows: "\n".join([head, *(",".join(row) for row in rows)]).encode(
        "utf-8", "surrogatepass"
    ),
    heads_of_tables,
    st.lists(st.lists(cells, max_size=8), max_size=4),
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from([*TrainConfig.__dataclass_fields__, "flip", "a.png", "glioma/a.png"])
documents = st.dictionaries(names | st.text(max_size=3), values, max_size=6).map(
    lambda one: json.dumps(one).encode()
)
toml = st.lists(st.tuples(names, values.map(json.dumps)), max_size=4).map(
    lambda rows: "\n".join(f"{name} = {value}" for name, value in rows).encode()
)


def read_everything(folder: Path, data: bytes) -> None:
    """Let every reader of a data file read the same bytes."""
    path = folder / "file.toml"
    path.write_bytes(data)
    shutil.copy(path, folder / "outlines.json")
    sample = Sample(folder, Path("a.png"), Label("glioma"))
    for read in (
        lambda: read_recipe(str(path)),
        lambda: TrainConfig.read(path),
        lambda: read_manifest(path),
        lambda: read_left_out(path),
        lambda: list_folders([folder], Layout(index=path)),
        lambda: IdSource(file=path).ids([sample]),
        lambda: SeenImages.from_bytes(data),
        lambda: lesion_mask(sample, PreprocessSpec(32)),
    ):
        _outlines.cache_clear()
        with suppress(EdgeMriError):
            read()


@given(data=st.binary(max_size=300) | tables | documents | toml)
@example(data=b"[" * 100_000)
@example(data=b'{"a":' * 100_000)
@example(data=b"a = " + b"[" * 100_000)
@example(data=b"a." * 100_000 + b"b = 1")
@example(data=b'{"a.png": [["1", "2"], ["3", "4"], ["5", "6"]]}')
@example(data=b'{"a.png": [[NaN, 1], [1e999, 2], [1e300, 3]]}')
@example(data=b"epochs = 1" + b"0" * 5000)
@example(data=b"learning_rate = 1" + b"0" * 400)
@example(data=b"path,label\n\xff\xfe,glioma\n")
@settings(max_examples=150, deadline=None)
def test_any_bytes_in_a_data_file_are_read_or_refused_in_a_line(tmp_path_factory, head, save, data):
    folder = tmp_path_factory.getbasetemp() / "any bytes"
    if not folder.exists():
        save(folder / "a.png", head(0))
    read_everything(folder, data)


@pytest.mark.parametrize(
    "corners",
    ['[["1", "2"], ["3", "4"], ["5", "6"]]', "[[NaN, 1], [2, 2], [3, 1]]", "[[1e300, 1], [2, 2]]",
     "[]", "[[1, 2, 3]]", "{}", "true", "[[true, false]]", "[1, 2]", "[" * 60 + "]" * 60],
)  # fmt: skip
def test_an_outline_of_anything_but_numbers_is_refused(one, corners):
    (one / "outlines.json").write_text(f'{{"glioma/a.png": {corners}}}')
    _outlines.cache_clear()
    with pytest.raises(
        OutlineError, match=r"glioma/a.png: expected \[\[x, y\], …\] in pixels, got"
    ):
        lesion_mask(Sample(one, Path("glioma/a.png"), Label("glioma")), PreprocessSpec(32))

"""The commands of docs/volumes.md, run as they stand on files such as it names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

nib = pytest.importorskip("nibabel", reason="needs the extra [nifti]")
pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")

PAGE = Path(__file__).parents[1] / "docs" / "volumes.md"
COMMANDS = [
    line.partition("#")[0].split()
    for line in PAGE.read_text(encoding="utf-8").split("```sh\n")[1].split("```")[0].splitlines()
]


@pytest.fixture
def folder(tmp_path) -> Path:
    """What the commands name: a clinical volume, a pair, a study of two folders."""
    rng = np.random.default_rng(0)
    clinical = rng.integers(0, 900, (64, 64, 12)).astype(np.int16)
    nib.save(nib.Nifti1Image(clinical, np.diag([3.6, 3.6, 9.5, 1])), tmp_path / "head.nii.gz")
    nib.save(nib.Nifti1Pair(clinical, np.diag([3.6, 3.6, 9.5, 1])), tmp_path / "pair.img")
    slice_ = pydicom.dcmread(Path(pydicom.__file__).parent / "data/test_files/MR_small.dcm")
    for number in range(6):
        slice_.ImagePositionPatient = [0, 0, 5.0 * number]
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number + 1}"
        (tmp_path / f"study/{number % 2}").mkdir(parents=True, exist_ok=True)
        slice_.save_as(tmp_path / f"study/{number % 2}/{9 - number}.dcm")
    return tmp_path


def test_its_commands_do_what_it_says(folder):
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    for program, *options in COMMANDS:
        assert program == "edge-mri"
        ended = subprocess.run(
            [sys.executable, "-m", "edge_mri", *options],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        assert "\nvolume '" in ended.stderr
        if options[-2:] == ["--volumes", "volumes.jsonl"]:
            (volume,) = map(json.loads, (folder / "volumes.jsonl").read_text().splitlines())
            assert (volume["planes"], volume["slices"]) == (["axial"], 12)
        if "pair.hdr" in options:
            assert "volume 'pair.hdr': 12 slices" in ended.stderr
    assert len((folder / "slices.csv").read_text().splitlines()) == 1 + 12 + 64 + 64
    assert len((folder / "slices.jsonl").read_text().splitlines()) == 12 + 64
    assert b"study," in (folder / "volumes.csv").read_bytes()
    assert (folder / "volumes.csv").read_text().count("\n") == 2
    assert (folder / "page.html").stat().st_size > 10_000

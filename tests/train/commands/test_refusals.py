"""What the system refuses is one line and exit code 2: a full disk, no threads, no files."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri_train.commands import audit as audit_command

QUICK = ("--arch", "squeezenet1_1", "--init-weights", "none", "--image-size", "32", "--epochs", "1")
LIMITED = """
import resource, sys
kind, most = sys.argv[1], int(sys.argv[2])
from edge_mri.cli import main
import edge_mri_train.commands.train, edge_mri_train.commands.audit
resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))
main(sys.argv[3:])
"""


def limited(kind: str, most: int, *arguments: object, **options):
    return subprocess.run(
        [sys.executable, "-c", LIMITED, kind, str(most), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize(("most", "file"), [(20_000, "checkpoint.pt"), (100, "split.csv")])
def test_a_disk_that_is_full_ends_a_training_in_a_line(most, file, phantoms, tmp_path):
    out = tmp_path / "run"
    result = limited("FSIZE", most, "train", "--data", phantoms, *QUICK, "--out", out)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == f"Error: cannot write {out}/{file}: File too large"
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob(".*"))  # none half written


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root, to become a user whose threads are counted",
)
def test_no_threads_to_be_had_is_a_line(phantoms, tmp_path):
    for folder in (phantoms, *phantoms.parents):
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o005 != 0o005:
            pytest.skip("the temporary folder is closed to others")
    result = subprocess.run(
        ["prlimit", "--nproc=2", "setpriv", "--reuid=65531", "--clear-groups", sys.executable,
         "-m", "edge_mri", "audit", str(phantoms)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
             "MPLCONFIGDIR": str(tmp_path)},
    )  # fmt: skip
    if "Permission" in result.stderr:
        pytest.skip("the interpreter is closed to others")
    assert result.returncode in (0, 2), result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("can't start new thread"), "Resource temporarily unavailable; it may start "),
        (MemoryError(), "Cannot allocate memory; there is not enough memory; fewer --threads and "),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate "
                         "memory: you tried to allocate 9 bytes."),
            "Cannot allocate memory; there is not enough memory; ",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."), "Cannot allocate memory; "),
        (OSError(24, "Too many open files", "/x"), "Too many open files; this process may open "),
        (OSError(30, "Read-only file system", "/x"), "Read-only file system; /x"),
    ],
)  # fmt: skip
def test_each_refusal_is_a_line(error, said, phantoms, monkeypatch):
    def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr(audit_command, "audit", refused)
    result = CliRunner().invoke(main, ["audit", str(phantoms)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: the system says: {said}")
    assert result.stderr.count("\n") == 1


def test_a_fault_of_our_own_stays_one(phantoms, monkeypatch):
    def faulty(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(audit_command, "audit", faulty)
    assert CliRunner().invoke(main, ["audit", str(phantoms)]).exit_code == 70


@pytest.mark.parametrize("command", ["audit", "split", "evaluate"])
def test_odd_jpegs_are_no_lines_of_libjpeg(command, save, tmp_path):
    """It says "Corrupt JPEG data" to the process's stderr, once for every time one is decoded."""
    image = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
    for number, folder in enumerate(("glioma_axial", "no_tumor_axial") * 3):
        path = save(tmp_path / "set" / folder / f"{number}.jpg", np.roll(image, number, 1))
        data = path.read_bytes()
        path.write_bytes(data[:-2] + b"\0\0\0" + data[-2:])
    given = {"split": ["split", "set", "--out", "m.csv"], "audit": ["audit", "set"]}
    arguments = given.get(command, ["evaluate", "--data", "set", "--no-reject"])
    result = subprocess.run(
        [sys.executable, "-m", "edge_mri", *arguments],
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "extraneous bytes" not in result.stderr

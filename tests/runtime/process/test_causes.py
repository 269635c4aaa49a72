"""Broken packages and refusals of the system: a line that names them, and no traceback."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edge_mri.process.causes import cause_of

FAULT = "ImportError: it is broken"


@pytest.fixture
def with_packages(tmp_path, environment):
    """Run `edge-mri` where some packages are others: their code by their name."""

    def run(packages: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
        for name, code in packages.items():
            path = tmp_path / "packages" / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
            if "." in name:
                (path.parent / "__init__.py").touch()
        search = os.pathsep.join([str(tmp_path / "packages"), environment["PYTHONPATH"]])
        return subprocess.run(
            [sys.executable, "-m", "edge_mri", *map(str, arguments)],
            env=environment | {"PYTHONPATH": search},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.mark.parametrize(
    ("module", "code", "told"),
    [
        ("numpy", "__version__ = '1.21.0'", "numpy: it is 1.21.0, expected numpy>=1.26; "),
        ("onnxruntime", "__version__ = '1.9'", "onnxruntime: it is 1.9, expected onnxruntime>="),
        ("click", "__version__ = '7.1.2'", "click: it is 7.1.2, expected click>=8.1; "),
        ("click", "raise ImportError('it is broken')", f"click: version .*{FAULT}"),
        (
            "numpy",
            "raise ImportError('\\n\\nREAD THIS!\\n\\nOriginal error was: it is broken\\n')",
            f"numpy: version .*{FAULT}",
        ),
        (
            "onnxruntime",
            "raise RuntimeError('invalid ELF header')",
            r"onnxruntime: version .*\(RuntimeError: invalid ELF header\)",
        ),
        (
            "cv2",
            "raise ImportError('libGL.so.1: cannot open shared object file: No such file')",
            r"opencv-python-headless: version .*\(ImportError: libGL.so.1: cannot open shared ",
        ),
        (
            "cv2",
            "print('OpenCV needs much'); import nothing_like_it",
            r"opencv-python-headless: version .*No module named 'nothing_like_it'\)",
        ),
        (
            "cv2",
            "import sys, types; sys.modules['cv2'] = types.ModuleType('cv2')",
            "opencv-python-headless: version .*module 'cv2' has no attribute ",
        ),
    ],
)
def test_a_package_that_is_old_or_broken_is_one_line(with_packages, picture, module, code, told):
    ended = with_packages({module: code}, "infer", picture)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.match(f"Error: edge-mri needs {told}", ended.stderr), ended.stderr
    assert re.search(r"; type: pip install .*'[\w-]+>=[\d.]+'\n$", ended.stderr)
    assert ended.stderr.count("\n") == 1


def test_a_broken_package_of_an_extra_is_one_line(with_packages):
    pytest.importorskip("torch", reason="needs the extra [train]")
    ended = with_packages({"torch": "raise OSError('libtorch.so: no')"}, "train", "--data", "x")
    assert ended.returncode == 2
    assert re.fullmatch(
        r"Error: edge-mri needs torch: version \S+ cannot be used \(OSError: libtorch.so: no\); "
        r"type: pip install --force-reinstall 'torch>=[\d.]+'\n",
        ended.stderr,
    )


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        (
            {"pydicom.encaps": "", "pydicom.__init__": "__version__ = '2.4.4'"},
            r"version 2\.4\.4 cannot be used \(ImportError: cannot import name 'generate_frames'",
        ),
        ({"pydicom": "1 / 0"}, r"version \S+ cannot be used \(ZeroDivisionError: division"),
    ],
)
def test_a_broken_reader_of_one_format_spoils_no_other(with_packages, picture, packages, told):
    pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    (picture.parent / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    (picture.parent / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    files = [picture.parent, picture.parent / "DICOMDIR"]
    ended = with_packages(packages, "infer", *files, "--no-reject")
    rows = ended.stdout.splitlines()[1:]
    assert (ended.returncode, [row.split()[0] for row in rows]) == (1, ["error", "ok", "error"])
    for row in rows[::2]:
        assert re.search(f": a file of this format needs pydicom>=3.0: {told}", row)
        assert row.endswith("; type: pip install --force-reinstall 'pydicom>=3.0'")


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE), "a.png"),
        ImportError(f"x.so: cannot open shared object file: {os.strerror(errno.EMFILE)}"),
    ],
)
def test_too_few_descriptors_are_one_line(command, monkeypatch, failure):
    @click.command("info")
    def failing() -> None:
        raise failure

    monkeypatch.setattr("edge_mri.commands.info.command", failing)
    assert command("info") == (
        2,
        "",
        f"Error: the system says: {os.strerror(errno.EMFILE)}; this process may open no more "
        "files; allow it more (ulimit -n)\n",
    )


def test_too_few_threads_are_one_line(process, phantoms):
    block = (
        "import threading\n"
        'def refuse(*_, **__): raise RuntimeError("can\'t start new thread")\n'
        "threading._start_new_thread = threading._start_joinable_thread = refuse\n"
        "from edge_mri.cli import main\n"
        "main(prog_name='edge-mri')\n"
    )
    ended = process("-c", block, "infer", phantoms, "--threads", "2", "--format", "jsonl")
    assert ended.code == 2
    assert ended.err == (
        f"Error: the system says: {os.strerror(errno.EAGAIN)}; it may start no more threads or "
        "processes; allow it more (ulimit -u, the container's pids limit), or use fewer --threads\n"
    )


def test_what_the_system_refuses_is_told_with_its_place():
    place = str(Path("a") / "b")
    assert str(cause_of(OSError(errno.EIO, os.strerror(errno.EIO), place))) == (
        f"the system says: {os.strerror(errno.EIO)}; {place}"
    )
    assert str(cause_of(MemoryError())).startswith("the system says: Cannot allocate memory; ")


def test_a_fault_of_our_own_is_nobody_elses():
    for fault in (ZeroDivisionError(), ValueError("no"), AttributeError("module 'os' has no x")):
        assert cause_of(fault) is None

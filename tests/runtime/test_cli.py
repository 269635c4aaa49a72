import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from edge_mri import __version__, cli
from edge_mri.cli import COMMANDS, EXTRAS, Row
from edge_mri.errors import OptionError

HEAVY = {"numpy", "onnxruntime", "cv2", "torch", "onnx", "sklearn", "matplotlib"}

# Runs the command line in an interpreter in which some modules cannot be imported.
WITHOUT = """
import sys
from edge_mri.cli import main

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent = sys.argv.pop(1).split(",")
sys.meta_path.insert(0, Absent())
main(prog_name="edge-mri")
"""
ALL_EXTRAS = ",".join(sorted({module for modules in EXTRAS.values() for module in modules}))


def imported(trace: str) -> set[str]:
    """The top-level packages in what `python -X importtime` says."""
    lines = [line for line in trace.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def fail_with(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    """Let `edge-mri infer` be a command that fails."""

    @click.command("infer")
    def failing() -> None:
        raise failure

    monkeypatch.setattr("edge_mri.commands.infer.command", failing)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], []])
def test_help_needs_none_of_the_heavy_packages(process, arguments):
    ended = process("-X", "importtime", "-m", "edge_mri", *arguments)
    assert "click" in imported(ended.err)
    assert not imported(ended.err) & HEAVY


def test_infer_needs_neither_torch_nor_onnx(process, picture):
    ended = process("-X", "importtime", "-m", "edge_mri", "infer", picture)
    assert ended.code == 0
    found = imported(ended.err)
    assert {"numpy", "onnxruntime", "cv2"} <= found
    assert not found & {"torch", "torchvision", "onnx", "onnxscript", "sklearn", "matplotlib"}


def test_help_names_every_command_and_what_this_is_not(command):
    ended = command("--help")
    assert ended.code == 0
    for name, row in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(row.help)}$", ended.out, re.MULTILINE)
    assert "For research use. Not a diagnostic device." in ended.out


def test_the_version_is_told(command):
    assert command("--version") == (0, f"edge-mri, version {__version__}\n", "")


@pytest.mark.parametrize("name", ["infer", "info", "check", "phantom"])
def test_each_command_of_the_runtime_has_help(command, name):
    ended = command(name, "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: edge-mri {name} ")


@pytest.mark.parametrize("row", COMMANDS.values(), ids=list(COMMANDS))
def test_a_command_is_where_the_table_says(row):
    assert find_spec(row.module) is not None
    assert row.extra is None or row.extra in EXTRAS


@pytest.mark.parametrize(
    ("name", "hint"), [("infre", " Did you mean 'infer'?"), ("Train", " Did you mean 'train'?")]
)
def test_an_unknown_command_is_wrong_use_and_the_nearest_is_named(command, name, hint):
    ended = command(name)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: edge-mri [OPTIONS] COMMAND [ARGS]...\nTry 'edge-mri ")
    assert ended.err.endswith(f"\nError: No such command '{name}'.{hint}\n")


def test_a_command_like_no_other_is_not_guessed(command):
    assert command("xyz").err.endswith("\nError: No such command 'xyz'.\n")
    assert "No such option" in command("--xyz").err


@pytest.mark.parametrize("name", [name for name, row in COMMANDS.items() if row.extra])
@pytest.mark.parametrize("rest", [["--help"], ["--nonsense"]])
def test_a_missing_extra_is_one_line_with_what_to_type(process, name, rest):
    ended = process("-c", WITHOUT, ALL_EXTRAS, name, *rest)
    extra = COMMANDS[name].extra
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(
        rf"Error: `edge-mri {name}` needs \w+, which is not installed; "
        rf"type: pip install 'edge-mri\[{extra}\]' \(in a checkout: pip install '.\[{extra}\]'\)\n",
        ended.err,
    )


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("train", "torch", "train"),
        ("export", "torch", "export"),
        ("export", "onnx", "export"),
        ("evaluate", "torch", "train"),
        ("infer", "torch", "train"),
    ],
)
def test_the_extra_is_one_that_brings_the_module(command, monkeypatch, name, module, extra):
    row = Row(f"{module}_is_missing", "", COMMANDS[name].extra)
    monkeypatch.setitem(COMMANDS, name, row)

    def missing(_: str) -> None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr(cli, "import_module", missing)
    assert command(name) == (
        2,
        "",
        f"Error: `edge-mri {name}` needs {module}, which is not installed; "
        f"type: pip install 'edge-mri[{extra}]' (in a checkout: pip install '.[{extra}]')\n",
    )


def test_an_extra_that_is_missed_while_a_command_runs_is_named(command, monkeypatch):
    fail_with(monkeypatch, ModuleNotFoundError("No module named 'torch'", name="torch"))
    ended = command("infer")
    assert ended.code == 2
    assert ended.err.endswith("(in a checkout: pip install '.[train]')\n")


@pytest.mark.parametrize("arguments", [["infer", "."], ["info"]])
def test_a_package_that_is_installed_and_not_there_is_one_line(process, arguments):
    ended = process("-c", WITHOUT, "onnxruntime", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(
        r"Error: edge-mri needs onnxruntime: version \S+ cannot be used \(ModuleNotFoundError: "
        r"No module named 'onnxruntime'\); "
        r"type: pip install --force-reinstall 'onnxruntime>=[\d.]+'\n",
        ended.err,
    )


def test_a_package_that_was_left_out_is_named(process):
    gone = (
        "from importlib import metadata\n"
        "found = metadata.version\n"
        "def version(name):\n"
        "    if name == 'onnxruntime': raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "metadata.version = version\n"
    )
    assert process("-c", gone + WITHOUT, "onnxruntime", "info") == (
        2,
        "",
        "Error: edge-mri needs onnxruntime: it is not installed; "
        "type: pip install 'onnxruntime>=1.20'\n",
    )


def test_a_missing_module_of_nobody_is_not_disguised(command, monkeypatch):
    fail_with(monkeypatch, ModuleNotFoundError("No module named 'xyz'", name="xyz"))
    ended = command("infer")
    assert ended.code == 70
    assert "ModuleNotFoundError: No module named 'xyz'\n" in ended.err


def test_the_extras_are_those_of_the_project():
    modules = {"faiss-cpu": "faiss", "pillow": "PIL", "scikit-learn": "sklearn"}
    modules |= {"ray[data]": "ray", "python-multipart": "python_multipart"}
    modules["prometheus-client"] = "prometheus_client"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    for extra, found in EXTRAS.items():
        names = [
            re.split("[>=]", requirement)[0]
            for requirement in project["project"]["optional-dependencies"][extra]
        ]
        own = {modules.get(name, name) for name in names if not name.startswith("edge-mri")}
        assert own <= set(found)


def test_one_of_our_errors_is_one_line(command, monkeypatch):
    fail_with(monkeypatch, OptionError("no, not like this"))
    assert command("infer") == (2, "", "Error: no, not like this\n")


def test_a_bug_is_not_disguised(command, monkeypatch):
    fail_with(monkeypatch, ZeroDivisionError())
    ended = command("infer")
    assert (ended.code, ended.out) == (70, "")
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.err.endswith(
        "ZeroDivisionError\nThis is a fault of edge-mri itself: please report it.\n"
    )


def test_the_end_of_a_pipe_is_no_failure_of_the_images(process, picture):
    many = " ".join([str(picture)] * 300)
    script = f"set -o pipefail; {sys.executable} -m edge_mri infer {many} --format jsonl | head -1"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 141
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""


def test_an_interrupt_ends_with_its_own_code(command, monkeypatch):
    fail_with(monkeypatch, KeyboardInterrupt())
    assert command("infer") == (130, "", "Interrupted.\n")

"""Commands whose stdin, stdout or stderr is closed, full or not to be read."""

import itertools
import os
import subprocess
import sys

import pytest

FULL = "/dev/full"
SHUT = [shut for count in (1, 2, 3) for shut in itertools.combinations((0, 1, 2), count)]
WITHOUT_NULL = """
import os
os.devnull = "/nowhere/null"
from edge_mri.cli import main
main(prog_name="edge-mri")
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="closes descriptors before a start")


@pytest.fixture
def started(environment):
    """Run `edge-mri` without some of its streams; its output is what it writes to the others."""

    def run(*arguments: object, shut=(), python=("-m", "edge_mri"), **streams):
        def close() -> None:
            for descriptor in shut:
                os.close(descriptor)

        return subprocess.run(
            [sys.executable, *python, *map(str, arguments)],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "input": ""} | streams,
            env=environment,
            text=True,
            check=False,
            timeout=120,
            preexec_fn=close,
        )

    return run


@pytest.mark.parametrize("python", [("-m", "edge_mri"), ("-c", WITHOUT_NULL)], ids=["", "no null"])
@pytest.mark.parametrize("shut", SHUT, ids=str)
def test_a_command_does_what_it_can_without_streams(started, picture, tmp_path, shut, python):
    printed = started("infer", picture, shut=shut, python=python)
    lost = "Error: cannot write stdout: Bad file descriptor\n"
    assert printed.returncode == (2 if 1 in shut else 0)
    if 1 not in shut:
        assert printed.stdout.count("\n") == 2
    if 2 not in shut:
        assert printed.stderr == lost if 1 in shut else "For research use" in printed.stderr
    file = tmp_path / "records.csv"
    assert started("infer", picture, "-o", file, shut=shut, python=python).returncode == 0
    assert file.read_text().count("\n") == 2


@pytest.mark.parametrize("arguments", [["--help"], ["info"], ["infer", "--help"], ["--version"]])
def test_text_that_nobody_can_get_is_one_line(started, arguments):
    ended = started(*arguments, shut=[1])
    assert (ended.returncode, ended.stderr) == (
        2,
        "Error: cannot write stdout: Bad file descriptor\n",
    )
    assert started(*arguments, shut=[0, 2]).returncode == 0


def test_a_list_on_a_closed_stdin_is_one_line(started):
    ended = started("infer", "-", shut=[0])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: stdin is closed, and `-` stands for a list of paths")
    assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(not os.path.exists(FULL), reason="no device that is full")  # noqa: PTH110
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["info"], ["info", "--json"], ["infer", None]])
def test_a_full_disk_is_one_line(started, picture, monkeypatch, environment, arguments, unbuffered):
    monkeypatch.setitem(environment, "PYTHONUNBUFFERED", unbuffered)
    given = [one or picture for one in arguments]
    with open(FULL, "w") as full:  # noqa: PTH123
        ended = started(*given, stdout=full)
        assert started(*given, stderr=full).returncode == 0
        assert started(*given, stdout=full, stderr=full).returncode == 2
    assert (ended.returncode, ended.stderr) == (
        2,
        "Error: cannot write stdout: No space left on device\n",
    )

"""The pytest-benchmark suites run: each thing once, untimed."""

import os
import subprocess
import sys
from pathlib import Path

SUITES = Path(__file__).parents[2] / "benchmarks"


def test_the_suites_measure_the_model_that_ships_and_skip_what_is_missing():
    ended = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(SUITES),
            "--benchmark-disable", "-k", "ort or grey or command or imports",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=SUITES.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert "no FP32 file of" in ended.stdout
    passed = int(ended.stdout.rpartition(" passed")[0].split()[-1])
    assert passed >= 12  # six stages, two folders, four starts

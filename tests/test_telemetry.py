"""What edge-mri computes with may report to its makers unless it is told not to: we tell it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "ORT_DISABLE_TELEMETRY"


def files_after(code: str, home: Path, **variables: str) -> list[str]:
    """Run code in a process of its own; return the files that are then in the user's folder.

    It inherits little: in what looks like CI nothing is collected anyway.
    """
    inherited = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=inherited | own | variables, check=True)
    return sorted(path.name for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "module", ["edge_mri", "edge_mri_export.exporting", "edge_mri_bench.measuring.layers"]
)
def test_onnxruntime_collects_nothing(tmp_path, module):
    # What would be sent is gathered in a file there, beside one that tells devices apart.
    (tmp_path / "let").mkdir()
    if not files_after("import onnxruntime", tmp_path / "let"):
        pytest.skip("this onnxruntime reports nothing, as before 1.29")
    (tmp_path / "told").mkdir()
    assert files_after(f"import {module}, onnxruntime", tmp_path / "told") == []


@pytest.mark.parametrize(
    ("given", "used"), [({}, "1"), ({VARIABLE: ""}, "1"), ({VARIABLE: "0"}, "0")]
)
def test_onnxruntime_is_told_unless_the_user_says_otherwise(tmp_path, given, used):
    value = f"os.environ['{VARIABLE}']"
    code = f"import edge_mri, os; from pathlib import Path; Path.home().joinpath({value}).touch()"
    assert files_after(code, tmp_path, **given) == [used]


def test_openvino_and_nncf_have_nothing_to_report_with(tmp_path):
    pytest.importorskip("openvino", reason="a rival of the benchmark")
    code = "import edge_mri_bench.backends.openvino_rival, nncf, sys; "
    code += "assert not sys.modules['openvino_telemetry']"
    assert files_after(code, tmp_path) == []

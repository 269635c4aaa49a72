"""onnxruntime reports to its maker from 1.29 on unless it is told not to: we tell it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "ORT_DISABLE_TELEMETRY"


def files_after(code: str, home: Path, **variables: str) -> list[str]:
    """Run code in a process of its own; return the files that are then in the user's folder."""
    inherited = {key: value for key, value in os.environ.items() if key != VARIABLE}
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=inherited | own | variables, check=True)
    return sorted(path.name for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "module", ["edge_mri", "edge_mri_export.exporting", "edge_mri_bench.layers"]
)
def test_nothing_is_collected(tmp_path, module):
    # What would be sent is gathered in a file there, beside one that tells devices apart.
    assert files_after(f"import {module}, onnxruntime", tmp_path) == []


def test_a_user_may_let_it_report(tmp_path):
    code = f"import edge_mri, os; open('said', 'w').write(os.environ['{VARIABLE}'])"
    assert files_after(
        f"import os; os.chdir({str(tmp_path)!r}); {code}", tmp_path, **{VARIABLE: "0"}
    )
    assert (tmp_path / "said").read_text() == "0"

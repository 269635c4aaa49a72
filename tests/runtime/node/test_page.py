"""docs/node.md: its commands, as people would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra [node]")
pytest.importorskip("highdicom", reason="needs the extra [node]")

PAGE = Path(__file__).parents[3] / "docs" / "node.md"


def test_the_commands_of_the_page_run(lab, tmp_path, environment):
    if lab.tool("echoscu") is None:
        pytest.skip("needs dcmtk (on Debian: apt-get install dcmtk)")
    (script,) = re.findall(r"^```sh\n(.+?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    install, _, rest = script.partition("\n")
    assert install == "pip install 'edge-mri[node]'"
    assert rest.count("11112") == 4
    programs = tmp_path / "bin"
    programs.mkdir()
    own = programs / "edge-mri"
    own.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edge_mri "$@"\n')
    own.chmod(0o755)
    for name in ("echoscu", "storescu"):
        (programs / name).symlink_to(lab.tool(name))
    ended = subprocess.run(
        ["bash", "-euc", rest.replace("11112", str(lab.free_port()))],
        cwd=tmp_path,
        env=environment | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert "stops by SIGTERM" in ended.stderr
    assert ended.stderr.count("judged series") == 2
    assert (tmp_path / "spool" / "results.jsonl").read_text().count("\n") == 2 * 8 + 2

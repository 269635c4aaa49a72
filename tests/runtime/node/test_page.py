"""docs/node.md: its commands, as people would type them."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra [node]")
pytest.importorskip("highdicom", reason="needs the extra [node]")


def test_the_commands_of_the_page_run(page, lab, tmp_path):
    opened = page("docs/node.md")
    ((kind, script),) = opened.blocks("sh")
    assert script.count("11112") == 3
    folder = tmp_path / "reader"
    folder.mkdir()
    # As in an environment that pip filled: pynetdicom's programs hide those of dcmtk.
    own = {one: Path(sys.executable).with_name(one) for one in ("echoscu", "storescu", "python3")}
    here = script.replace("11112", str(lab.free_port()))
    (ended,) = opened.run(folder, blocks=[(kind, here)], programs=own, timeout_s=120)
    assert "stops by SIGTERM" in ended.stderr
    assert ended.stderr.count("judged series") == 2
    assert (folder / "spool" / "results.jsonl").read_text().count("\n") == 2 * 8 + 2

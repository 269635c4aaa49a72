"""docs/node.md: its commands, as people would type them."""

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra [node]")
pytest.importorskip("highdicom", reason="needs the extra [node]")


def test_the_commands_of_the_page_run(page, lab, tmp_path):
    if lab.tool("echoscu") is None:
        pytest.skip("needs dcmtk (on Debian: apt-get install dcmtk)")
    opened = page("docs/node.md")
    ((kind, script),) = opened.blocks("sh")
    assert script.count("11112") == 4
    folder = tmp_path / "reader"
    folder.mkdir()
    tools = {name: lab.tool(name) for name in ("echoscu", "storescu")}
    here = script.replace("11112", str(lab.free_port()))
    (ended,) = opened.run(folder, blocks=[(kind, here)], programs=tools, timeout_s=120)
    assert "stops by SIGTERM" in ended.stderr
    assert ended.stderr.count("judged series") == 2
    assert (folder / "spool" / "results.jsonl").read_text().count("\n") == 2 * 8 + 2

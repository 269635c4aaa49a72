"""Links in the documents lead somewhere, and the index of the decisions is whole."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_index_lists_every_decision_by_its_title():
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[(\d{4})\]\((.+?)\): (.+)$", index, re.MULTILINE)
    titles = {}
    for file in DECISIONS.glob("0*.md"):
        number, title = re.fullmatch(
            r"# (\d{4}): (.+)", file.read_text(encoding="utf-8").splitlines()[0]
        ).groups()
        titles[file.name] = (number, title)
    assert {name: (number, title) for number, name, title in listed} == titles
    assert len(listed) == len(titles)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_links_within_the_project_lead_to_a_file(document):
    text = document.read_text(encoding="utf-8")
    targets = [one.partition("#")[0] for one in re.findall(r"\]\(([^)\s]+)\)", text)]
    for target in targets:
        if target and "://" not in target:
            assert (document.parent / target).exists(), target

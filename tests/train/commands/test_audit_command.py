import json
import re
import shutil
import time

import cv2
import pytest
from click.testing import CliRunner

from edge_mri.cli import main


def run(*arguments: object):
    result = CliRunner().invoke(main, ["audit", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture(scope="module")
def faulty(heads, head, save, tmp_path_factory):
    """A set with a leak, a contradiction, a damaged file and an unknown folder."""
    root = tmp_path_factory.mktemp("faulty") / "a set, é <b>"
    shutil.copytree(heads, root / "Training")
    save(root / "Testing" / "glioma_axial" / "leak & <i>.png", head(0, "glioma_axial"))
    mirrored = cv2.flip(head(12, "glioma_axial"), 1)
    save(root / "Testing" / "glioma_axial" / "mirrored.png", mirrored)
    save(root / "Training" / "no_axial" / "wrong.png", head(0, "glioma_axial"))
    (root / "Training" / "no_axial" / "damaged.png").write_bytes(b"no image")
    save(root / "Training" / "cats" / "a.png", head(90))
    return root


def test_the_summary_says_what_was_found(faulty):
    result = run(faulty)
    assert result.exit_code == 0
    for line in (
        "27 images of a set, é <b>",
        f"warning: {faulty}/Training/cats matches no label (1 images); use --map",
        f"unusable: {faulty}/Training/no_axial/damaged.png: not an image in a known format",
        "formats: PNG (27)",
        "contradicting labels: 1 pairs",
    ):
        assert line in result.stdout
    assert re.search(r"leakage: of 2 held-out images 1 .*, 1 more a near", result.stdout)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--fail-on", "leakage"), 1, "Failed on leakage (2).\n"),
        (("--fail-on", "conflicts", "--fail-on", "unreadable"), 1,
         "Failed on conflicts (1), unreadable (1).\n"),
        ((), 0, ""),
    ],
)  # fmt: skip
def test_a_build_can_fail_on_findings(faulty, options, code, said):
    result = run(faulty, *options)
    assert result.exit_code == code
    assert result.stderr.endswith(said)


def test_a_clean_set_fails_on_nothing(heads):
    every = [
        part for name in ("leakage", "conflicts", "unreadable") for part in ("--fail-on", name)
    ]
    assert run(heads, *every).exit_code == 0
    assert run(heads, "--fail-on", "dust").exit_code == 2


def test_json_holds_the_whole_report(faulty, tmp_path):
    assert run(faulty, "--json", tmp_path / "new" / "r.json").exit_code == 0
    report = json.loads((tmp_path / "new" / "r.json").read_text())
    assert report["leakage"]["exact"] == 1
    assert report["conflicts"][0]["kind"] == "exact"


@pytest.fixture(scope="module")
def page(faulty, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "audit.html"
    assert run(faulty, "--html", path).exit_code == 0
    return path


def test_the_page_stands_alone_and_shows_the_pairs(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    assert text.count('<img src="data:image/jpeg;base64,') >= 6
    assert "leak &amp; &lt;i&gt;.png" in text
    assert "<i>" not in text


def test_the_page_opens_without_a_complaint(page, browser):
    assert browser(page) == ""


def test_groups_maps_and_an_index_are_taken(heads, head, save, tmp_path):
    ids = tmp_path / "ids.csv"
    ids.write_text("path,patient\nglioma_axial/00.png,P1\nglioma_axial/12.png,P1\n")
    json_file = tmp_path / "r.json"
    assert run(heads, "--groups", ids, "--json", json_file).exit_code == 0
    assert json.loads(json_file.read_text())["groups"]["largest"][0] >= 2
    save(tmp_path / "set" / "yes" / "a.png", head(0))
    assert run(tmp_path / "set", "--map", "yes=glioma").exit_code == 0
    (tmp_path / "i.csv").write_text("path,label\nyes/a.png,glioma\n")
    assert run(tmp_path / "set", "--index", tmp_path / "i.csv").exit_code == 0


def test_three_thousand_unknown_folders_are_a_short_and_quick_answer(head, save, tmp_path):
    for number in range(3000):
        folder = tmp_path / "set" / f"class{number:04}"
        folder.mkdir(parents=True)
        (folder / "a.png").touch()
    started = time.perf_counter()
    result = run(tmp_path / "set")
    assert result.exit_code == 2
    assert "class0004 and 2995 more; expected a type (glioma" in result.stderr
    save(tmp_path / "set" / "glioma" / "a.png", head(0))
    result = run(tmp_path / "set")
    assert result.exit_code == 0
    assert "warning: 2990 more folders match no label, see --json" in result.stdout
    assert len(result.stdout.splitlines()) < 50
    assert time.perf_counter() - started < 10


def test_names_that_are_no_text_do_no_harm(head, save, tmp_path):
    for folder in ("glioma", "pituitary"):
        image = save(tmp_path / "set" / folder / "a.png", head(0))
        image.rename(image.parent / b"\xff\xe9.png".decode(errors="surrogateescape"))
    result = run(tmp_path / "set", "--html", tmp_path / "a.html", "--json", tmp_path / "a.json")
    assert result.exit_code == 0
    assert "contradicting labels: 1 pairs" in result.stdout
    assert (tmp_path / "a.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone",), "no such file or folder: gone"),
        (("empty",), "no images below empty; looked for .bmp"),
        (("empty", "--map", "a"), "--map 'a'; expected FOLDER=LABEL"),
        (("empty", "--index", "gone.csv"), "the index gone.csv cannot be used: No such file"),
        (("HEADS", "--groups", "gone.csv"), "the index gone.csv cannot be used: No such file"),
        (("HEADS", "--group-pattern", "("), "--group-pattern '(' is no regular expression"),
        ((), "expected either folders or --manifest MANIFEST"),
        (("--manifest", "gone.csv"), "the split manifest gone.csv cannot be used: No such file"),
        (("HEADS", "--json", "empty"), "cannot write empty: Is a directory"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(heads, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = run(*(heads if one == "HEADS" else one for one in arguments))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"Error: {message}")

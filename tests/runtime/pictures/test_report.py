"""The page for people, read as text and opened in a real browser."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.answers.prediction import Prediction
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.rejection import Rejection
from edge_mri.pictures import report as report_module
from edge_mri.pictures.report import Report
from edge_mri.pictures.thumbnails import Pictured
from edge_mri.storage.spelling import spelled

GATE = Rejection(max_novelty=0.4, undecided=(0.25, 0.75), kept=0.99, n=1000)
NAMES = ("<script>document.title=1<!--.png", "line\nbreak & 'quote'.png", "\udcff.png")


def save(path: Path, brightness: float, *, spot: float | None = None) -> None:
    """Write a 96 x 64 grainy image, with a bright square in its lower right."""
    image = np.full((64, 96), round(255 * brightness), np.uint8)
    if spot is not None:
        image[40:56, 64:88] = round(255 * spot)
    image += np.random.default_rng(0).integers(-24, 25, image.shape).astype(np.uint8)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two that fail, one foreign, one undecided, three tumours, two without."""
    folder = tmp_path_factory.mktemp("files")
    save(folder / "a-healthy.png", 0.1)
    save(folder / "b-healthy.png", 0.2)
    save(folder / NAMES[0], 0.1, spot=0.9)
    save(folder / NAMES[1], 0.1, spot=0.8)
    save(folder / NAMES[2], 0.1, spot=0.7)
    save(folder / "e-undecided.png", 0.1, spot=0.5)
    save(folder / "f-foreign.png", 0.9)
    (folder / "y-empty.png").touch()
    (folder / "z-broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def page(command, mapped, folder, tmp_path) -> Path:
    path = tmp_path / "report.html"
    ended = command(
        *("infer", folder, "--model", mapped(rejection=GATE, tumor_threshold=0.5)),
        *("--report", path, "--format", "jsonl"),
    )
    assert ended.code == 1
    assert "ok 5, rejected 2 (foreign 1, unfamiliar 0, undecided 1), errors 2\n" in ended.err
    return path


def embedded(page: Path) -> list[tuple[dict, dict | None]]:
    """The rows and pictures inside a page."""
    text = page.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="records">(.*?)</script>', text, re.S)
    return [(row, pictures) for row, pictures in json.loads(data.group(1))]


def test_what_failed_or_was_rejected_comes_first_then_tumours(page):
    rows = [row for row, _ in embedded(page)]
    assert [row["status"] for row in rows] == ["error"] * 2 + ["rejected"] * 2 + ["ok"] * 5
    assert [row["why"] for row in rows[:4]] == [
        "the file is empty",
        "not an image in a known format (JPEG, PNG, TIFF, BMP, WebP, DICOM, NIfTI), or damaged",
        *("undecided", "foreign"),
    ]
    assert [row["type"] for row in rows[4:]] == ["glioma"] * 3 + ["no_tumor"] * 2


def test_the_page_calls_a_brain_unfamiliar_and_not_foreign(command, mapped, folder, tmp_path):
    model = mapped(rejection=replace(GATE, max_foreign=0.95), tumor_threshold=0.5)
    path = tmp_path / "report.html"
    ended = command("infer", folder, "--model", model, "--report", path)
    assert "ok 5, rejected 2 (foreign 0, unfamiliar 1, undecided 1), errors 2\n" in ended.err
    (line,) = (line for line in ended.out.splitlines() if "f-foreign.png" in line)
    assert line.split()[:2] == ["rejected", "unfamiliar"]
    why = {Path(row["path"]).name: row["why"] for row, _ in embedded(path)}
    assert why["f-foreign.png"] == "unfamiliar"
    told = path.read_text(encoding="utf-8")
    assert '"unfamiliar":1' in told.replace(" ", "")
    assert 'unfamiliar: "unlike the images it learned from"' in told
    assert "as foreign: log odds above 0.95; as unfamiliar: novelty above 0.4;" in told


def test_the_rows_say_what_the_records_say(page, command, mapped, folder):
    model = mapped(rejection=GATE, tumor_threshold=0.5)
    lines = command("infer", folder, "--model", model, "--format", "jsonl").out.splitlines()
    records = {record["path"]: record for record in map(json.loads, lines)}
    rows = [row for row, _ in embedded(page)]
    assert len(rows) == len(records)
    for row in rows:
        record = records[row["path"]]
        assert row["status"] == record["status"]
        assert row["why"] == (record["error"] or record["rejected"])
        if row["status"] != "error":
            assert (row["type"], row["tumor"]) == (record["type"], record["tumor_probability"])
            assert (row["novelty"], row["box"]) == (record["novelty"], record["box"])


def test_the_pictures_show_the_image_and_where_the_spot_is(page):
    for row, pictures in embedded(page):
        if row["status"] == "error":
            assert pictures is None
            continue
        assert pictures["size"] == [96, 64]
        data = np.frombuffer(base64.b64decode(pictures["thumbnail"]), np.uint8)
        assert cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).shape == (64, 96)
        if row["status"] == "ok" and row["type"] == "glioma":
            heat = np.frombuffer(base64.b64decode(pictures["heat"]), np.uint8)
            cover = cv2.imdecode(heat, cv2.IMREAD_UNCHANGED)[..., 3]
            y, x = np.unravel_index(cover.argmax(), cover.shape)
            assert 64 / 96 <= (x + 0.5) / cover.shape[1] <= 88 / 96
            assert 40 / 64 <= (y + 0.5) / cover.shape[0] <= 56 / 64


def test_names_that_are_markup_stay_text(page):
    text = page.read_text(encoding="utf-8")
    assert "<script>document" not in text
    assert text.count("</script>") == 3
    assert {Path(row["path"]).name for row, _ in embedded(page)} >= set(map(spelled, NAMES))


def test_a_page_says_what_it_is_not(page):
    text = page.read_text(encoding="utf-8")
    assert "<strong>For research use, not for diagnosis.</strong>" in text
    assert "as foreign: novelty above 0.4; as undecided: P(tumour) from 0.25 to 0.75; " in text


def test_a_model_without_a_map_has_a_report_without_heat(command, mapped, folder, tmp_path):
    path = tmp_path / "report.html"
    command("infer", folder, "--model", mapped(map_output=None), "--report", path)
    rows = embedded(path)
    assert all(pictures["heat"] is None for _, pictures in rows if pictures)
    assert '"scale":null' in path.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_one_line(command, mapped, folder, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file/report.html"
    ended = command("infer", folder, "--model", mapped(), "--report", path)
    assert ended.code == 2
    assert ended.err.startswith(
        f"Error: cannot write {path}: File exists; "
        "a file lies where a folder must be: name another folder"
    )


def made(count: int) -> Iterator[Prediction]:
    """Records without tumours, each tenth with one, each hundredth rejected."""
    for number in range(count):
        type_ = "glioma" if number % 10 == 0 else "no_tumor"
        rejected = "foreign" if number % 100 == 0 else None
        record = Prediction(
            f"{number}.png", "rejected" if rejected else "ok", type_, rejected=rejected
        )
        yield Pictured(**vars(record), size=(1, 1), thumbnail=b"x")


def test_a_long_report_is_bounded_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "MOST_ROWS", 500)
    monkeypatch.setattr(report_module, "MOST_PICTURES", 50)
    contract = Contract("test", LabelSpace.for_task("type"), PreprocessSpec(64))
    path = tmp_path / "report.html"
    with Report(path, contract, "test.onnx", None) as report:
        assert sum(1 for _ in report.gathered(made(1000))) == 1000
        report.write()
    rows = embedded(path)
    statuses = [row["status"] for row, _ in rows]
    types = [row["type"] for row, _ in rows]
    assert statuses == ["rejected"] * 10 + ["ok"] * 490
    assert types[10:] == ["glioma"] * 90 + ["no_tumor"] * 400
    assert [pictures is not None for _, pictures in rows] == [True] * 50 + [False] * 450
    text = path.read_text(encoding="utf-8")
    assert "The table lists 500 of 1,000 images; the summary counts all." in text
    assert "At most 50 images have pictures: rejected ones first, then tumours" in text
    assert '"all":1000' in text


@pytest.mark.parametrize(("most", "is_said"), [(1, True), (2, False)])
def test_a_page_says_where_volumes_are_left_out(
    command, mapped, tmp_path, monkeypatch, most, is_said
):
    monkeypatch.setattr(report_module, "MOST_VOLUMES", most)
    data = cv2.imencodemulti(".tif", [np.full((64, 64), 20, np.uint8)] * 2)[1].tobytes()
    for name in "ab":
        (tmp_path / f"{name}.tif").write_bytes(data)
    path = tmp_path / "report.html"
    files = tmp_path / "a.tif", tmp_path / "b.tif"
    assert command("infer", *files, "--model", mapped(), "--report", path).code == 0
    said = f"No more than the first {most} volumes are shown: --volumes FILE lists all."
    assert (said in path.read_text(encoding="utf-8")) is is_said


def test_a_short_report_says_nothing_of_bounds(page):
    assert '<p class="mute"></p>' in page.read_text(encoding="utf-8")


@pytest.fixture
def volume(command, mapped, tmp_path) -> Path:
    """The page of a file of six pages, four with a spot, and of one image."""
    pages = [np.full((64, 64), 20, np.uint8) for _ in range(6)]
    for page in pages[1:5]:
        page[32:48, 32:48] = 255
    (tmp_path / "files").mkdir()
    data = cv2.imencodemulti(".tif", pages)[1].tobytes()
    (tmp_path / "files/scan.tif").write_bytes(data)
    save(tmp_path / "files/single.png", 0.1)
    path = tmp_path / "report.html"
    assert command("infer", tmp_path / "files", "--model", mapped(), "--report", path).code == 0
    return path


def test_a_stopped_run_has_a_page_that_says_so(tmp_path):
    contract = Contract("test", LabelSpace(), PreprocessSpec(64))
    path = tmp_path / "report.html"
    with Report(path, contract, "test.onnx", None) as report:
        list(report.gathered([Prediction.failed("a.png", "the file is empty")]))
        report.write(complete=False)
    text = path.read_text(encoding="utf-8")
    assert "The run was stopped before its end: images are missing here." in text


DASH = "\N{EN DASH}"
CELLS = "[...document.querySelectorAll('#rows tr')].map(row => row.cells[{}].innerText)"


def test_a_browser_shows_sorts_and_filters_it_and_asks_for_nothing(tab, page):
    tab.open(page.as_uri())

    def column(number: int) -> list[str]:
        return tab.evaluate(CELLS.format(number))

    def click(selector: str) -> None:
        tab.evaluate(f"document.querySelector({selector!r}).click()")

    def choose(selector: str, value: str, event: str) -> None:
        tab.evaluate(
            f"(() => {{ const one = document.querySelector({selector!r}); one.value = {value!r};"
            f"one.dispatchEvent(new Event({event!r})); }})()"
        )

    assert column(2) == [
        *("failed", "failed", "rejected: undecided", "rejected: foreign"),
        *["answered"] * 5,
    ]
    assert any(cell.startswith(NAMES[0]) for cell in column(1))
    assert tab.evaluate("document.title") == "edge-mri report: 9 images"
    assert tab.evaluate("document.querySelectorAll('.picture .heat').length") == 7
    shown = tab.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert shown is True

    click("#heads th:nth-child(5) button")  # by P(tumour), the highest first; none comes last
    falling = column(4)
    numbers = [float(cell) for cell in falling[:-2]]
    assert numbers == sorted(numbers, reverse=True)
    assert falling[-2:] == [DASH, DASH]
    click("#heads th:nth-child(5) button")
    assert [float(cell) for cell in column(4)[:-2]] == numbers[::-1]
    assert column(4)[-2:] == [DASH, DASH]
    sort = "document.querySelector('#heads th:nth-child(5)').getAttribute('aria-sort')"
    assert tab.evaluate(sort) == "ascending"
    click("#heads th:nth-child(2) button")
    names = [cell.splitlines()[0] for cell in column(1)]
    assert names == sorted(names, key=str.lower)

    click("[data-status=rejected]")
    assert set(column(2)) == {"rejected: undecided", "rejected: foreign"}
    click("[data-status=ok]")
    choose("#type", "no_tumor", "change")
    assert [cell.splitlines()[0] for cell in column(1)] == ["a-healthy.png", "b-healthy.png"]
    choose("#find", "B-HEAL", "input")
    assert [cell.splitlines()[0] for cell in column(1)] == ["b-healthy.png"]
    assert tab.evaluate("document.querySelector('#count').innerText") == "1 to 1 of 1 images"
    choose("#find", "nowhere", "input")
    assert column(0) == ["No image matches."]

    choose("#find", "", "input")
    click("#heat")
    visible = "[...document.querySelectorAll('.heat')].some(one => one.offsetWidth > 0)"
    assert tab.evaluate(visible) is False

    asked = [
        event["params"]["request"]["url"]
        for event in tab.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    said = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    assert [event for event in tab.events if event.get("method") in said] == []


def test_a_browser_pages_through_many_files(tab, tmp_path):
    contract = Contract("test", LabelSpace(), PreprocessSpec(64))
    path = tmp_path / "report.html"
    with Report(path, contract, "test.onnx", None) as report:
        for _ in report.gathered(Prediction.failed(f"{n:03}.png", "empty") for n in range(120)):
            pass
        report.write()
    tab.open(path.as_uri())
    firsts = []
    for _ in range(3):
        firsts.append(tab.evaluate(CELLS.format(1))[0].splitlines()[0])
        tab.evaluate("document.querySelector('#after').click()")
    assert firsts == ["000.png", "050.png", "100.png"]
    assert tab.evaluate("document.querySelector('#after').disabled") is True
    assert tab.evaluate("document.querySelector('#page').innerText") == "page 3 of 3"


def test_a_browser_shows_what_a_volume_says_and_its_slices(tab, volume):
    tab.open(volume.as_uri())
    cells = "[...document.querySelectorAll('#volumeRows td')].map(cell => cell.innerText)"
    name, type_, *counts, highest = tab.evaluate(cells)
    assert name.startswith("scan.tif")
    assert (type_, counts) == ("glioma", ["6", "6", "4", counts[3], "0", "0"])
    assert float(counts[3]) >= 0.85
    assert highest == "slice 2"
    tab.evaluate("document.querySelector('#volumeRows button').click()")
    names = [cell.splitlines()[0] for cell in tab.evaluate(CELLS.format(1))]
    assert sorted(names) == [f"scan.tif, slice {number}" for number in range(1, 7)]
    assert not [event for event in tab.events if event.get("method") == "Runtime.exceptionThrown"]


def test_without_volumes_the_page_has_no_table_of_them(tab, page):
    tab.open(page.as_uri())
    assert tab.evaluate("document.querySelector('#volumes').hidden") is True

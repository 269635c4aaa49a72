"""The page for people, used in a real browser: files dropped, records, filter, heatmaps, saving."""

import base64
import csv
import io
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra [serve]")

from edge_mri.labels import LabelSpace
from edge_mri.storage.csv_text import csv_cells

STATUS = "[...document.querySelectorAll('#rows tr')].map(row => row.cells[2].innerText)"
NAMES = "[...document.querySelectorAll('#rows tr')].map(row => row.cells[1].innerText)"
HEAT = "getComputedStyle(document.querySelector('#rows .heat')).display"


def save(path: Path, number: int, *, spot: float | None = None) -> None:
    image = np.full((64, 96), 20, np.uint8)
    if spot is not None:
        image[40:56, 64:88] = round(255 * spot)
    image += np.random.default_rng(number).integers(0, 25, image.shape).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder as people have them: tumours, one without, files that are none, and a note."""
    folder = tmp_path / "images"
    for number in range(3):
        save(folder / f"tumour {number}.png", number, spot=0.9)
    save(folder / "sub" / "healthy.png", 7)
    (folder / "sub" / "broken.png").write_bytes(b"no image")
    (folder / "=cmd|'calc'!A0.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").touch()
    return folder


@pytest.fixture
def bright(serve, mapped):
    model = mapped(tumor_threshold=0.5)
    service = serve("--model", model)
    service.model = model
    return service


class Page:
    """The page in a tab."""

    def __init__(self, tab, url: str) -> None:
        self.tab = tab
        tab.open(url)

    def drop(self, *paths: Path) -> None:
        """Drop files or folders on it, as from a file manager."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.tab.call("Input.dispatchDragEvent", type=kind, x=200, y=300, data=data)

    def wait(self, script: str, seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while not self.tab.evaluate(script):
            assert time.monotonic() < until, self.tab.evaluate("document.body.innerText")
            time.sleep(0.05)

    def answered(self, text: str) -> None:
        self.wait(f"document.getElementById('told').textContent === {text!r}")

    def press(self, *keys: str) -> None:
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39, " ": 32}
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key, "")
            for kind in ("keyDown", "keyUp"):
                self.tab.call(
                    "Input.dispatchKeyEvent", type=kind, key=key, text=text * (kind == "keyDown"),
                    windowsVirtualKeyCode=codes[key],
                )  # fmt: skip

    def click(self, selector: str) -> None:
        self.tab.evaluate(f"document.querySelector({selector!r}).click()")

    def faults(self) -> list[dict]:
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event for event in self.tab.events if event.get("method") in kinds]

    def asked(self) -> set[str]:
        sent = [e for e in self.tab.events if e.get("method") == "Network.requestWillBeSent"]
        return {event["params"]["request"]["url"].split("?")[0] for event in sent}


def test_a_folder_is_dropped_and_its_records_come_in(tab, bright, folder):
    page = Page(tab, bright.url)
    page.drop(folder)
    page.answered("6 of 6 files answered; 2 other files skipped.")
    assert sorted(tab.evaluate(STATUS)) == ["answered"] * 4 + ["failed"] * 2
    assert tab.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    names = tab.evaluate(NAMES)
    assert any("broken.png" in one and "images/sub/" in one for one in names)
    assert any("the file is empty" in one for one in names)

    page.click("#statuses [data-status=error]")
    assert tab.evaluate(STATUS) == ["failed", "failed"]
    page.click("#statuses [data-status='']")
    assert tab.evaluate(HEAT) == "block"
    assert tab.evaluate("getComputedStyle(document.querySelector('#rows .box')).display") == "block"
    page.click("#heat")
    assert tab.evaluate(HEAT) == "none"
    page.click("#heat")

    tab.evaluate("document.querySelector('.enlarge').focus()")
    page.press("Enter")
    assert tab.evaluate("document.getElementById('large').open")
    first = tab.evaluate("document.getElementById('largeTitle').textContent")
    page.press("ArrowRight")
    assert tab.evaluate("document.getElementById('largeTitle').textContent") != first
    assert tab.evaluate("document.getElementById('largeSaid').textContent").startswith("glioma, ")
    page.press("Escape")
    assert not tab.evaluate("document.getElementById('large').open")

    assert page.faults() == []
    assert all(url.startswith((bright.url, "data:", "blob:")) for url in page.asked())
    assert "tumour" not in bright.log.read_text()


def test_what_is_saved_is_a_table_and_a_page_of_its_own(tab, bright, folder, command, tmp_path):
    page = Page(tab, bright.url)
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
    page.drop(folder)
    page.answered("6 of 6 files answered; 2 other files skipped.")
    page.click("#saveCsv")
    page.click("#saveReport")
    table, report = tmp_path / "saved/edge-mri.csv", tmp_path / "saved/edge-mri.html"
    until = time.monotonic() + 30
    while not (table.exists() and report.exists()):
        assert time.monotonic() < until
        time.sleep(0.1)
    lines = table.read_text(encoding="utf-8").splitlines()
    command(
        *("infer", folder, "--model", bright.model, "--format", "csv", "-o", tmp_path / "own.csv")
    )
    own = (tmp_path / "own.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == own[0]

    def values(line: str) -> list[object]:
        cells = csv_cells(line)
        return [Path(cells[0]).name, *(float(c) if c[:1].isdigit() else c for c in cells[1:])]

    assert sorted(map(str, map(values, lines))) == sorted(map(str, map(values, own)))
    assert next(csv.reader(io.StringIO(lines[1])))[0] == "images/=cmd|'calc'!A0.png"

    page.faults().clear()
    tab.events.clear()
    tab.open(report.as_uri())
    assert tab.evaluate("document.title") == "edge-mri report: 6 images"
    assert tab.evaluate(STATUS)[:2] == ["failed", "failed"]
    assert tab.evaluate("document.querySelectorAll('.picture .heat').length") >= 3
    headers = "[...document.querySelectorAll('thead th')].map(one => one.innerText).join()"
    assert "P(tumour)" in tab.evaluate(headers)
    assert page.faults() == []


@pytest.mark.parametrize(("absent", "header"), [("clear", ["P(finding)"]), (None, [])])
def test_the_page_speaks_of_what_the_model_finds(tab, serve, mapped, folder, absent, header):
    labels = LabelSpace(("stroke", "abscess", "cyst", "clear"), (), absent, "finding")
    page = Page(tab, serve("--model", mapped(labels=labels, tumor_threshold=0.5)).url)
    page.drop(folder)
    page.answered("6 of 6 files answered; 2 other files skipped.")
    headers = tab.evaluate("[...document.querySelectorAll('thead th')].map(one => one.innerText)")
    assert [one for one in headers if "P(" in one] == header
    said = "[...document.querySelectorAll('#rows tr')].map(row => row.cells[4].innerText)"
    if header:
        assert sum(float(one) > 0.5 for one in tab.evaluate(said) if one[:1].isdigit()) == 3
    tab.evaluate("document.querySelector('.enlarge').click()")
    told = tab.evaluate("document.getElementById('largeSaid').textContent")
    assert ("P(finding) 0." in told) is bool(header)
    assert "tumour" not in told
    assert page.faults() == []


def test_two_hundred_files_chosen_by_keyboard_and_read_to_the_end(tab, bright, tmp_path):
    many = []
    for number in range(200):
        many.append(tmp_path / "many" / f"{number:03}.png")
        save(many[-1], number, spot=0.9 if number % 3 else None)
    page = Page(tab, bright.url)
    page.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "chooseFiles"
    node = tab.call("Runtime.evaluate", expression="document.getElementById('files')")
    tab.call("DOM.enable")
    tab.call("DOM.setFileInputFiles", files=[*map(str, many)], objectId=node["result"]["objectId"])
    page.answered("200 of 200 files answered.")
    assert tab.evaluate("document.getElementById('count').textContent") == "1 to 50 of 200 images"
    assert tab.evaluate(NAMES)[:2] == ["000.png", "001.png"]
    assert tab.evaluate("document.querySelector('[role=status]').id") == "told"
    page.click("#clear")
    page.wait("document.getElementById('results').hidden")
    assert page.faults() == []


def test_a_token_is_asked_for_and_used(tab, serve, mapped, folder, tmp_path):
    (tmp_path / "tokens").write_text("a-token-that-is-long-enough\n")
    (tmp_path / "tokens").chmod(0o600)
    service = serve("--model", mapped(), "--token-file", tmp_path / "tokens")
    page = Page(tab, service.url)
    page.drop(folder / "tumour 0.png")
    page.wait("!document.getElementById('alert').hidden")
    assert tab.evaluate("document.activeElement.id") == "token"
    tab.evaluate("document.getElementById('token').value = 'a-token-that-is-long-enough'")
    page.press("Enter")
    page.answered("1 of 1 file answered.")
    assert tab.evaluate(STATUS) == ["answered"]


def test_a_service_that_ends_is_told_and_the_rest_can_be_sent_again(tab, serve, mapped, folder):
    service = serve("--model", mapped())
    page = Page(tab, service.url)
    service.stop()
    page.drop(folder / "tumour 0.png")
    page.wait("!document.getElementById('alert').hidden")
    assert tab.evaluate("document.getElementById('alert').textContent") == (
        "The service does not answer."
    )
    assert not tab.evaluate("document.getElementById('again').hidden")


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_a_desk_and_a_phone(tab, bright, folder, width, tmp_path):
    tab.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1,
        mobile=width < 500,
    )  # fmt: skip
    page = Page(tab, bright.url)
    page.drop(folder)
    page.answered("6 of 6 files answered; 2 other files skipped.")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    edges = (
        "[...document.querySelectorAll('#rows td')].map(one => one.getBoundingClientRect().right)"
    )
    assert max(tab.evaluate(edges)) <= width
    picture = base64.b64decode(tab.call("Page.captureScreenshot", format="png")["data"])
    (tmp_path / f"{width}.png").write_bytes(picture)
    seen = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (844, width, 3)
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 100
    controls = "[...document.querySelectorAll('button, input:not([hidden]), select')]"
    unnamed = "!one.innerText && !one.labels?.length && !one.ariaLabel"
    assert tab.evaluate(f"{controls}.filter(one => {unnamed}).map(one => one.outerHTML)") == []

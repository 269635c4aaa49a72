"""Markdown, plots and the page of a record; the page also in a real browser."""

import re
import shutil
import subprocess
from copy import deepcopy
from xml.etree import ElementTree

import pytest

from edge_mri_bench.telling.comparison import compare
from edge_mri_bench.telling.markdown import END, START, markdown, write_markdown
from edge_mri_bench.telling.page import write_benchmark_page, write_plots
from edge_mri_bench.telling.plots import figures

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SORT = """
<script>
addEventListener("error", event => document.title = "error: " + event.message);
const heads = document.querySelector("table.sortable").tHead.rows[0].cells;
heads[2].click();
document.body.dataset.up = names(); heads[2].click(); document.body.dataset.down = names();
function names() {
  return [...document.querySelector("table.sortable").tBodies[0].rows]
    .map(row => row.cells[0].dataset.value).join("|");
}
</script>
"""


@pytest.fixture
def scored(record):
    """A record with accuracies, as a labelled set gives them."""
    for number, row in enumerate(record["rows"]):
        share = 0.9 + 0.01 * number
        row["accuracy"] = {"type": {"n": 100, "share": share, "ci95": [0.8, 0.97]}, "plane": None}
    record["scaling"]["networks"] = [
        {
            "network": "resnet18", "size_px": 160, "macs": 9e8, "bytes": 12_000_000,
            "fp32_ms": {"median_ms": 16.0}, "int8_ms": {"median_ms": 5.0},
        }
    ]  # fmt: skip
    return record


def test_markdown_tells_every_row_goal_and_what_is_left_out(record):
    text = markdown(record)
    for row in record["rows"]:
        assert row["row"] in text
    for network, goals in record["goals"].items():
        assert f"### Goals: {network}" in text
        for goal in goals:
            assert f"| {goal['goal']} |" in text
    for reason in record["left_out"]:
        assert f"- {reason}" in text
    assert "| end to end, ms | min | median | p95 | p99 | spread |" in text
    assert "**Compare accuracies only within one network:" in text
    tables = re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
    assert len(tables) >= 4
    for table in tables:
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1


def test_the_physics_say_what_int8_can_win_on_this_cpu(record):
    record["machine"]["features"] = ["avx2"]
    record["limits"] |= {"int8_peak_gmacs": 88.0, "fp32_peak_gmacs": 44.0}
    assert "2.0 times FP32's 44, and this CPU has no VNNI" in markdown(record)
    del record["limits"]["fp32_peak_gmacs"]  # as in records of earlier versions
    assert "is 88 billion multiply-accumulates a second (dense QLinearConv)." in markdown(record)


def test_a_noisy_run_says_so_first(record):
    record["noise"] |= {"noisy": True, "warning": "Too noisy to trust absolute times: it was."}
    assert markdown(record).startswith("**Too noisy to trust absolute times: it was.**\n")


def test_a_document_with_marks_keeps_the_rest(tmp_path):
    path = tmp_path / "benchmarks.md"
    path.write_text(f"# Before\n\n{START}\nold\n{END}\n\nafter\n")
    write_markdown("new\n", path)
    write_markdown("newer\n", path)
    assert path.read_text() == f"# Before\n\n{START}\nnewer\n{END}\n\nafter\n"


def test_the_page_stands_alone(scored, tmp_path):
    page = tmp_path / "page.html"
    write_benchmark_page(scored, page)
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"<[^>]*(?:src|href)=\"(?!data:|#)[^>]*>", text)
    assert not re.findall(r"url\((?!#|data:)", text)
    assert text.count("<svg") == 5  # accuracy, steps, folders, memory, networks
    for part in (
        "Goals: ",
        "Accuracy against latency",
        "Compare accuracies only within",
        "Where the time goes",
        "All backends",
    ):
        assert part in text


def test_the_page_compares_what_the_markdown_compares(record, tmp_path):
    before = deepcopy(record)
    gone = before["rows"].pop()["row"]
    for row in before["rows"]:
        row["stages"]["end_to_end"]["median_ms"] *= 2
    before["noise"]["noisy"] = record["noise"]["noisy"] = False
    for noisy in (False, True):
        before["noise"]["noisy"] = noisy
        compared = compare(record, before)
        page = tmp_path / "page.html"
        write_benchmark_page(record, page, compared)
        for text in (page.read_text(encoding="utf-8"), markdown(record, compared)):
            assert "-50.0" in text
            assert f"Only now: {gone}." in text
            assert ("One of the two runs was too noisy" in text) == noisy


def test_a_shape_is_explained_where_there_are_several_networks(scored):
    def explained():
        (axes,) = figures(scored)["accuracy"].axes
        return [text.get_text() for text in axes.get_legend().get_texts()]

    networks = list(dict.fromkeys(row["network"] for row in scored["rows"]))
    assert explained() == ["edge-mri INT8", "PyTorch eager", *networks]
    scored["rows"] = [row for row in scored["rows"] if row["network"] == networks[0]]
    assert explained() == ["edge-mri INT8", "PyTorch eager"]


def test_bars_carry_the_time_of_the_whole_and_tell_steps_that_outlast_it(record):
    for row in record["rows"]:
        for stage, value in (
            ("decode", 1),
            ("preprocess", 1),
            ("inference_1", 5),
            ("end_to_end", 9),
        ):
            row["stages"][stage]["median_ms"] = float(value)
    record["rows"][0]["stages"]["end_to_end"]["median_ms"] = 4.0
    texts = [text.get_text() for text in figures(record)["steps"].axes[0].texts]
    assert texts[:3] == ["9.00 ms", "9.00 ms", "4.00 ms (its steps one by one 7.00)"]


def test_networks_are_drawn_with_the_peak_of_each_precision(scored):
    scored["limits"] |= {"int8_peak_gmacs": 88.0, "fp32_peak_gmacs": 44.0}
    (axes,) = figures(scored)["networks"].axes
    told = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"INT8 peak, 88 GMAC/s", "FP32 peak, 44 GMAC/s"} < told


def test_a_page_without_growth_has_no_head_for_it(record, tmp_path):
    for scaling, there in ((record["scaling"], True), ({"edge_net@160": {}}, False)):
        page = tmp_path / "page.html"
        write_benchmark_page(record | {"scaling": scaling}, page)
        text = page.read_text(encoding="utf-8")
        assert ("How cost grows" in text) == there
        assert "<dt>memory</dt><dd>" in text


def test_plots_of_a_noisy_run_say_so(scored):
    flags = []
    for noisy in (False, True):
        scored["noise"]["noisy"] = noisy
        flags.append([figure.get_supxlabel() for figure in figures(scored).values()])
    assert set(flags[0]) == {""}
    assert set(flags[1]) == {"a noisy machine: times are not to be trusted"}


def test_plots_are_files_of_their_own(scored, tmp_path):
    files = write_plots(scored, tmp_path / "plots")
    names = {file.stem.removeprefix("benchmark-") for file in files}
    assert names == {"accuracy", "steps", "images", "memory", "networks"}
    for file in files:
        assert ElementTree.parse(file).getroot().tag.endswith("svg")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the path")
def test_a_click_on_a_head_sorts_in_a_real_browser(scored, tmp_path):
    page = tmp_path / "page.html"
    write_benchmark_page(scored, page)
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{SORT}</body>"))
    ended = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )  # fmt: skip
    assert "<title>Benchmark of edge-mri</title>" in ended.stdout  # no script failed
    up, down = (
        re.search(rf'data-{way}="([^"]*)"', ended.stdout).group(1).split("|")
        for way in ("up", "down")
    )
    medians = sorted(row["stages"]["end_to_end"]["median_ms"] for row in scored["rows"])
    assert len(medians) == len(up) == 3
    assert up == down[::-1]
    fastest = min(scored["rows"], key=lambda row: row["stages"]["end_to_end"]["median_ms"])
    assert fastest["network"] in up[0]
    assert "INT8" in up[0]

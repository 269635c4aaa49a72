"""Writes the two tables of README.md from recorded figures.

    python benchmarks/studies/release/readme_tables.py --figures docs/figures \
        --record benchmarks/results/2026-11-23.json --out README.md

The first table, between `<!-- figures: start -->` and its end, has three columns: the usual test
set (`nickparvar_Testing.json`), patients of a source that was trained on (`tcga-lgg,_….json`), and
a source left out, by a twin of the model that learned nothing from it (`sources_without_f44.json`
of `make_model.py --without f44`). The second, between `<!-- speed: start -->` and its end, is of a
record that `edge-mri benchmark --json` wrote.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

USUAL = "nickparvar_Testing.json"
PATIENTS = "tcga-lgg,_patients_not_trained_on.json"
ELSEWHERE = "sources_without_f44.json"
ROWS = (
    ("edge_net@160/ort-int8", "edge-mri, INT8, 160 px"),
    ("edge_net@160/openvino-nncf", "OpenVINO, its own INT8, 160 px"),
    ("timm@224/timm", "timm's MobileNetV3 small, ONNX FP32, 224 px"),
    ("mobilenet_v2@160/pytorch-best", "PyTorch at its fastest, MobileNetV2, 160 px"),
    ("mobilenet_v2@224/pytorch", "PyTorch as usual, MobileNetV2, 224 px"),
)
REFERENCE = "mobilenet_v2@224/pytorch"


def share(value: float | None, interval: list[float] | None) -> str:
    """Return `99.3 % (98.7 to 99.6)`."""
    if value is None:
        return "not measured"
    told = f"{100 * value:.1f} %"
    return f"{told} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else told


def area(value: float, interval: list[float] | None) -> str:
    """Return `0.992 (0.982 to 0.997)`."""
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else f"{value:.3f}"


def figures_table(folder: Path) -> str:
    """Return the figures of three kinds of images, each with n and its 95 % interval."""
    columns: list[list[str]] = []
    for name in (USUAL, PATIENTS):
        read = json.loads((folder / name).read_text(encoding="utf-8"))
        tumor = read["tumor"]
        columns.append(
            [
                f"{read['asked']:,}",
                share(read["coverage"], read["coverage_ci95"]),
                area(tumor["auroc"], tumor["auroc_ci95"]),
                share(tumor["sensitivity"], tumor["sensitivity_ci95"]),
                share(tumor["specificity"], tumor["specificity_ci95"]),
                share(read["type"]["accuracy"], read["type"]["ci95"]),
            ]
        )
    other = json.loads((folder / ELSEWHERE).read_text(encoding="utf-8"))["unseen"]
    tumors, free = other["tumors"], other["free"]
    columns.append(
        [
            f"{tumors['n'] + free['n']:,}",
            "every image",
            area(other["auroc"], other["auroc_ci95"]),
            share(tumors["share"], tumors["ci95"]),
            share(free["share"], free["ci95"]),
            "not measured",
        ]
    )
    names = ("images", "answered", "tumour or none, AUROC", "sensitivity for tumour",
             "specificity", "right type")  # fmt: skip
    lines = ["| | usual test set | new patients | an unseen source |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {' | '.join(column[row] for column in columns)} |"
        for row, name in enumerate(names)
    ]
    return "\n".join(lines)


def speed_table(record: dict[str, Any]) -> str:
    """Return time, memory and size of what people use, of one run on one core."""
    rows = {row["row"]: row for row in record["rows"]}
    times = {
        one["row"]: one
        for one in record["ratios"]
        if one["stage"] == "end_to_end" and one["against"] == REFERENCE
    }
    lines = [
        "| | ms | times as fast | first answer, s | memory | model | installed |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, name in ROWS:
        row = rows[key]
        ratio = times.get(key)
        low, high = ratio["ci95"] if ratio else (1, 1)
        faster = f"{ratio['ratio']:.1f} ({low:.1f} to {high:.1f})" if ratio else "1"
        lines.append(
            f"| {name} | {row['stages']['end_to_end']['median_ms']:.2f} | {faster} "
            f"| {_told(row['start_ms'] and row['start_ms']['median_ms'] / 1000, '.2f')} "
            f"| {_told(row['peak_bytes'] and row['peak_bytes'] / 1e6, '.0f')} MB "
            f"| {_told(row['model_bytes'] and row['model_bytes'] / 1e6, '.1f')} MB "
            f"| {_told(row['environment_bytes'] and row['environment_bytes'] / 1e9, '.2f')} GB |"
        )
    return "\n".join(lines).replace("- MB", "-").replace("- GB", "-")


def _told(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def between(text: str, mark: str, table: str) -> str:
    """Return the text with the table between the marks of that name."""
    start, end = f"<!-- {mark}: start -->", f"<!-- {mark}: end -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"expected the marks {start} and {end} in the file")
    return pattern.sub(lambda _: f"{start}\n{table}\n{end}", text)


def written(text: str, figures: Path, record: Path) -> str:
    """Return the README with both tables."""
    told = between(text, "figures", figures_table(figures))
    return between(told, "speed", speed_table(json.loads(record.read_text(encoding="utf-8"))))


def main() -> None:
    """Read the options and write the file."""
    parser = argparse.ArgumentParser(description="Write the README's tables.")
    parser.add_argument("--figures", type=Path, default=Path("docs/figures"))
    parser.add_argument("--record", type=Path, default=Path("benchmarks/results/2026-11-23.json"))
    parser.add_argument("--out", type=Path, default=Path("README.md"))
    options = parser.parse_args()
    text = options.out.read_text(encoding="utf-8")
    options.out.write_text(written(text, options.figures, options.record), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Does edge-mri work on this GPU? Answers, batches, folders, training: five minutes, one JSON file.

    python benchmarks/studies/speed/check_cuda.py --json FILE [--data DIR] [--seconds 300]

Needs a checkout with the extra `[export]`, PyTorch for CUDA, and onnxruntime-gpu in place of
onnxruntime. Each item passes, misses or is not run, and says why. Exit code: 0: all passed; 1: one
missed; 3: none missed, some were not run, as all that needs a GPU where there is none.
`--device cpu` tries the script itself: it does on the CPU whatever a CPU can do.
"""

import edge_mri  # noqa: F401  # settles what onnxruntime reads when it is loaded

# isort: split
import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch

from cuda_items import ITEMS, Check, Figures, Missed, NotRun
from edge_mri_bench.figures.machine import machine, revision, versions

PASS, MISS, NOT_RUN = "pass", "miss", "not run"


def run(check: Check, name: str) -> dict[str, Any]:
    """Do one item; whatever happens in it is a row."""
    do, on_device = ITEMS[name]
    started = time.monotonic()
    figures: Figures = {}
    verdict, reason = PASS, ""
    try:
        if on_device and check.device == "cuda":
            check.need_gpu()
        if check.left_s < 0:
            raise NotRun("the time was over")
        figures = do(check)
    except NotRun as error:
        verdict, reason = NOT_RUN, str(error)
    except Missed as error:
        verdict, reason, figures = MISS, str(error), error.figures
    except Exception as error:  # whatever a driver or a library raises is what this is to find
        verdict, reason = MISS, f"{type(error).__name__}: {str(error).strip()[:300]}"
    seconds = round(time.monotonic() - started, 1)
    says = (do.__doc__ or "").strip()
    return {"item": name, "says": says, "verdict": verdict, "reason": reason} | {
        "seconds": seconds,
        "figures": figures,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all items, write the document, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory(prefix="edge-mri-") as folder_:
        check = Check(options.device, Path(folder_), options.data, options.seconds)
        for name in ITEMS:
            rows.append(row := run(check, name))
            why = f": {row['reason']}" if row["reason"] else ""
            click.echo(f"{row['verdict']:8} {name:12} {row['seconds']:6.1f} s{why}")
    counts = Counter(row["verdict"] for row in rows)
    gpus = [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
    document = {"format": "edge-mri CUDA check", "revision": revision(), "device": options.device}
    document |= {"gpus": gpus, "cuda": torch.version.cuda, "machine": machine()}
    document |= {"versions": versions(), "counts": dict(counts), "items": rows}
    options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if counts[MISS] else 3 if counts[NOT_RUN] else 0


if __name__ == "__main__":
    raise SystemExit(main())

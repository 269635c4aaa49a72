"""How the cost of inference grows with the network and with its input: several, exported and timed.

The weights are random, which changes no time; the INT8 files are made by edge-mri's own export.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_mri.errors import EdgeMriError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import NoProgress, Progress
from edge_mri_bench.backends.backends import Backend
from edge_mri_bench.backends.onnx_runtime import RuntimeBackend
from edge_mri_bench.figures.physics import count_macs
from edge_mri_bench.figures.pinning import pinned
from edge_mri_bench.figures.rounds import Cell, Rounds
from edge_mri_bench.figures.statistics import summarise
from edge_mri_bench.measuring.workload import phantom_files

NETWORKS = (
    ("mobilenet_v3_small", 160),
    ("shufflenet_v2_x0_5", 160),
    ("mobilenet_v2", 160),
    ("resnet18", 160),
)
SIZES_PX = (64, 128, 224, 320, 448)


def by_network(
    networks: Sequence[tuple[str, int]], rounds: int, calls: int, progress: Progress
) -> tuple[list[dict[str, Any]], list[str]]:
    """Export and time networks.

    Args:
        networks: Architectures and input sizes.
        rounds: Rounds of timing.
        calls: Calls per round.
        progress: Told of each export.

    Returns:
        A row for each, with its multiply-accumulates and the times of FP32 and INT8; and why
        others are missing.
    """
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory(prefix="edge-mri-") as name:
        folder = Path(name)
        phantoms = phantom_files(folder / "phantoms", 12, 96)
        with progress.bar("networks exported", len(networks)) as step:
            for architecture, size in networks:
                row = {"network": architecture, "size_px": size}
                try:
                    backends = _export(architecture, size, folder, phantoms[0].parents[1])
                except EdgeMriError as error:
                    missing.append(f"{architecture}@{size}: {error}")
                else:
                    row |= {
                        "macs": count_macs(folder / f"{architecture}{size}.onnx"),
                        "bytes": backends["int8"].model_bytes,
                    }
                    rows.append(row)
                    cells += [_cell(f"{architecture}@{size}", k, b) for k, b in backends.items()]
                step()
        with pinned(1):
            timed = Rounds(cells, calls)
            timed.warm_up()
            timed.run(rounds)
    for (network, precision), samples in timed.samples().items():
        row = next(one for one in rows if f"{one['network']}@{one['size_px']}" == network)
        row[f"{precision}_ms"] = summarise(samples).to_dict()
    return rows, missing


def _export(architecture: str, size: int, folder: Path, phantoms: Path) -> dict[str, Backend]:
    import torch

    from edge_mri_export.exporting import ExportConfig, export
    from edge_mri_export.int8.recipe import QuantizationConfig
    from edge_mri_train.networks.architectures import build
    from edge_mri_train.networks.checkpoint import Checkpoint

    torch.manual_seed(0)
    labels = LabelSpace()
    network = build(architecture, len(labels.classes), size).eval()
    path = folder / f"{architecture}{size}.pt"
    Checkpoint(architecture, labels, PreprocessSpec(size), network).save(path)
    config = ExportConfig(
        checkpoint=path,
        output=path.with_suffix(".onnx"),
        quantization=QuantizationConfig("int8", method="minmax"),
        calibration=phantoms,
        max_drop=100,
    )
    fp32, int8 = export(config, NoProgress())
    return {"fp32": RuntimeBackend(fp32.path), "int8": RuntimeBackend(int8.path)}


def _cell(row: str, precision: str, backend: Backend) -> Cell:
    size = backend.spec.size
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, size, size)).astype(np.uint8)
    return Cell(row, precision, lambda _: backend.infer(pixels))

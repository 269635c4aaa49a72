"""The first phase of a run: each backend of each network is opened, or skipped with its reason."""

import time
from typing import Any

import numpy as np

from edge_mri.errors import OptionError
from edge_mri_bench.backends.backends import EAGER, KINDS, Skipped, open_backend
from edge_mri_bench.backends.environment import installed_bytes
from edge_mri_bench.backends.networks import Network, with_reference
from edge_mri_bench.figures.physics import count_macs
from edge_mri_bench.figures.pinning import pinned
from edge_mri_bench.figures.statistics import summarise
from edge_mri_bench.measuring.layers import layer_shares
from edge_mri_bench.measuring.run import Run

_SLOW_OPEN_S = 2.0


def open_backends(run: Run) -> None:
    """Open what is wanted, and give each that opens its row.

    Raises:
        OptionError: None can be measured here.
    """
    wanted = run.config.backends or tuple(KINDS)
    pairs = [
        (network, name)
        for network in with_reference(run.networks)
        for name in wanted
        if KINDS[name].own is None and (not network.reference or name == EAGER)
    ]
    pairs += [(own, name) for name in wanted if (own := KINDS[name].own) is not None]
    with pinned(run.config.threads), run.progress.bar("backends", len(pairs)) as step:
        for network, name in pairs:
            try:
                _open(run, network, name)
            except Skipped as reason:
                run.skip(network, name, str(reason))
            step()
    run.record["left_out"] += [
        f"accuracy of {network.id} in PyTorch, and how often its files answer the same: no "
        "checkpoint was given; give --checkpoint"
        for network in run.networks
        if network.checkpoint is None and f"{network.id}/{EAGER}" in run.backends
    ]
    if not run.backends:
        reasons = "; ".join(f"{one['backend']}: {one['reason']}" for one in run.record["skipped"])
        raise OptionError(f"no backend can be measured here: {reasons}")


def _open(run: Run, network: Network, name: str) -> None:
    times: list[float] = []
    while len(times) < run.effort.starts and (not times or times[-1] < 1e3 * _SLOW_OPEN_S):
        started = time.perf_counter()
        backend = open_backend(name, network, run.settings)
        times.append(1e3 * (time.perf_counter() - started))
    row = f"{network.id}/{name}"
    run.backends[row] = backend
    run.opened[row] = (name, network)
    run.rows[row] = _row(row, network, name) | {
        "note": backend.note,
        "variant": backend.variant,
        "session_ms": summarise(np.array(times)).to_dict(),
        "model_bytes": backend.model_bytes,
        "environment_bytes": installed_bytes(backend.distributions),
        "layers": _layers(network, name),
    }


def _layers(network: Network, name: str) -> dict[str, float] | None:
    """Return what takes the time of our own file; other engines have kernels of their own."""
    model = {"ort-int8": network.int8, "ort-fp32": network.fp32}.get(name)
    return None if model is None else layer_shares(model, network.size)


def _row(row: str, network: Network, name: str) -> dict[str, Any]:
    """Return a row of the record in which nothing is measured yet."""
    return {
        "row": row,
        "network": network.id,
        "backend": name,
        "label": KINDS[name].label,
        "note": "",
        "variant": None,
        "stages": {},
        "session_ms": None,
        "folder": {},
        "images_per_joule": None,
        "accuracy": None,
        "agreement": None,
        "start_ms": None,
        "peak_bytes": None,
        "model_bytes": None,
        "environment_bytes": None,
        "macs": count_macs(network.model) if network.model else None,
        "layers": None,
        "bound": None,
    }

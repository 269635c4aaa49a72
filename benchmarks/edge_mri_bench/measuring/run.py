"""A run of a benchmark: what is open, what was measured, and the record that fills.

Its phases are modules of their own, `opening` to `growing`; their order is `benchmark`.
"""

from pathlib import Path
from typing import Any

from edge_mri.process.workers import available_threads
from edge_mri.terminal.progress import Progress
from edge_mri_bench.backends.backends import Backend, Settings
from edge_mri_bench.backends.networks import Network
from edge_mri_bench.config import BenchmarkConfig, Effort
from edge_mri_bench.figures.record import Record
from edge_mri_bench.figures.results import Measured, goals, ratios
from edge_mri_bench.measuring.workload import Workload


class Run:
    """A run.

    Attributes:
        config: What it was told.
        effort: How much is measured.
        networks: What is measured.
        work: On which images.
        folder: For files of its own.
        progress: Told how far it is.
        settings: How backends are opened.
        backends: Those that are open, by row.
        opened: The name and the network of each of them, by row.
        measured: The samples.
        rows: The rows of the record, by name.
        record: As far as it got; `conclude` brings its rows, ratios and goals up to date.
    """

    def __init__(
        self,
        config: BenchmarkConfig,
        effort: Effort,
        networks: list[Network],
        work: Workload,
        folder: Path,
        record: Record,
        progress: Progress,
    ) -> None:
        self.config, self.effort, self.work = config, effort, work
        self.networks = networks
        self.folder, self.progress = folder, progress
        self.settings = Settings(
            threads=config.threads,
            calibration=work.files,
            compile=effort.compile,
            folder=folder,
        )
        self.backends: dict[str, Backend] = {}
        self.opened: dict[str, tuple[str, Network]] = {}
        self.measured = Measured()
        self.rows: dict[str, dict[str, Any]] = {}
        self.record = record

    def skip(self, network: Network, backend: str, reason: str) -> None:
        """Say why a backend has no row."""
        skipped = {"network": network.id, "backend": backend, "reason": reason}
        self.record["skipped"].append(skipped)

    def drop(self, row: str, reason: str) -> None:
        """Close a backend that turned out not to work, and say why it has no row."""
        name, network = self.opened.pop(row)
        del self.backends[row], self.rows[row]
        self.skip(network, name, reason)

    def conclude(self) -> None:
        """Bring rows, ratios and goals up to what was measured so far."""
        self.record["rows"] = list(self.rows.values())
        named = [(row, network.id) for row, (_, network) in self.opened.items()]
        self.record["ratios"] = ratios(self.measured, named)
        self.record["goals"] = {
            network.id: [
                goal.to_dict() for goal in goals(self.measured, network, available_threads())
            ]
            for network in self.networks
            if network.model is not None
        }

"""What a run of a benchmark does, phase by phase: open, time, folders, answers, starts, scaling.

Their order, and what happens when one is interrupted, is `benchmark`.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_mri.errors import EdgeMriError, OptionError
from edge_mri.progress import Progress
from edge_mri.workers import available_threads
from edge_mri_bench import processes, scaling
from edge_mri_bench.accuracy import agreement, answers, score
from edge_mri_bench.backends import EAGER, KINDS, Backend, Settings, Skipped, open_backend
from edge_mri_bench.bounds import explain
from edge_mri_bench.config import BenchmarkConfig, Effort
from edge_mri_bench.energy import EnergyMeter
from edge_mri_bench.environment import installed_bytes
from edge_mri_bench.errors import ChildError
from edge_mri_bench.networks import Network, with_reference
from edge_mri_bench.noise import Reference
from edge_mri_bench.physics import (
    GREY_DECODE,
    LIMIT,
    count_macs,
    grey_decode_cell,
    peak_kernels,
)
from edge_mri_bench.pinning import pinned
from edge_mri_bench.record import Record
from edge_mri_bench.results import IMPORTS, Measured, goals, ratios
from edge_mri_bench.rounds import Cell, Rounds
from edge_mri_bench.stages import cells_of
from edge_mri_bench.statistics import summarise
from edge_mri_bench.throughput import time_folders
from edge_mri_bench.workload import Workload
from edge_mri_train.errors import first_line

_NOISE = ("noise", "reference")
_SLOW_OPEN_S = 2.0
_START_GUESS_S = 4.0
_TIMM = Network("timm", 224)


class Run:
    """A run: what is open, what was measured, and the record that fills.

    Attributes:
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

    def open(self) -> None:
        """Open every backend of every network, and say which cannot be measured."""
        wanted = self.config.backends or tuple(KINDS)
        pairs = [
            (network, name)
            for network in with_reference(self.networks)
            for name in wanted
            if name != "timm" and (not network.reference or name == EAGER)
        ]
        pairs += [(_TIMM, "timm")] if "timm" in wanted else []
        with pinned(self.config.threads), self.progress.bar("backends", len(pairs)) as step:
            for network, name in pairs:
                try:
                    self._open(network, name)
                except Skipped as reason:
                    self.record["skipped"].append(
                        {"network": network.id, "backend": name, "reason": str(reason)}
                    )
                step()
        if not self.backends:
            reasons = "; ".join(
                f"{one['backend']}: {one['reason']}" for one in self.record["skipped"]
            )
            raise OptionError(f"no backend can be measured here: {reasons}")

    def _open(self, network: Network, name: str) -> None:
        times = []
        for _ in range(self.effort.starts):
            started = time.perf_counter()
            backend = open_backend(name, network, self.settings)
            times.append(1e3 * (time.perf_counter() - started))
            if times[-1] > 1e3 * _SLOW_OPEN_S:
                break
        row = f"{network.id}/{name}"
        self.backends[row] = backend
        self.opened[row] = (name, network)
        self.rows[row] = {
            "row": row,
            "network": network.id,
            "backend": name,
            "label": KINDS[name].label,
            "note": backend.note,
            "variant": backend.variant,
            "stages": {},
            "session_ms": summarise(np.array(times)).to_dict(),
            "folder": {},
            "images_per_joule": None,
            "accuracy": None,
            "agreement": None,
            "start_ms": None,
            "peak_bytes": None,
            "model_bytes": backend.model_bytes,
            "environment_bytes": installed_bytes(backend.distributions),
            "macs": count_macs(network.model) if network.model else None,
            "bound": None,
        }

    def time(self) -> None:
        """Time all steps of all backends in interleaved rounds, with the physics among them."""
        reference, kernels = Reference(), peak_kernels()
        cells = [
            Cell(*_NOISE, reference),
            grey_decode_cell(self.work.files),
            *(kernel.cell for kernel in kernels),
        ]
        with pinned(self.config.threads) as cores:
            self.record["settings"]["pinned_cores"] = cores
            for row in list(self.backends):
                cells += self._cells(row)
            timed = Rounds(cells, self.effort.calls, self.config.seed)
            self._estimate(timed.warm_up())
            try:
                steps = self.effort.rounds * len(cells)
                with self.progress.bar("rounds", steps) as step:
                    timed.run(self.effort.rounds, step)
            finally:
                self.measured.stages = samples = timed.samples()
                self.record["settings"]["rounds_done"] = timed.done
                if timed.done:
                    self.record["noise"] = reference.verdict(samples[_NOISE])
                    self._limits({kernel.cell.stage: kernel.macs for kernel in kernels})
                    self._stages()
        if self.record["noise"]["noisy"]:
            self.progress.say(self.record["noise"]["warning"])

    def _cells(self, row: str) -> list[Cell]:
        """Return the cells of a backend that answers, none of one that fails, which is dropped."""
        try:
            cells = cells_of(row, self.backends[row], self.work.files, self.effort.batch_sizes)
            for cell in cells:
                cell.call(0)
        except Exception as error:  # backends' errors share no base class
            name, network = self.opened.pop(row)
            del self.backends[row], self.rows[row]
            reason = f"it failed: {first_line(error)}"
            self.record["skipped"].append(
                {"network": network.id, "backend": name, "reason": reason}
            )
            return []
        return cells

    def _estimate(self, round_s: float) -> None:
        """Say how long the rest takes, from what the warm-up took."""
        share = round_s / (self.effort.calls + 1)
        parts = {
            "rounds": round_s * self.effort.rounds,
            "folders": share / 2 * self.effort.folder_images * self.effort.folder_rounds,
            "answers": share / 2 * max(len(self.work.labelled), self.effort.images),
            "starts": _START_GUESS_S * len(self.backends) * self.effort.starts,
        }
        shown = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in parts.items())
        self.progress.say(f"About {sum(parts.values()) / 60:.1f} minutes to go ({shown}).")

    def _limits(self, macs: dict[str, int]) -> None:
        samples = self.measured.stages
        kernels = {
            stage: macs[stage] / 1e6 / summarise(samples[LIMIT, stage]).min_ms for stage in macs
        }
        self.record["limits"] = {
            GREY_DECODE: summarise(samples[LIMIT, GREY_DECODE]).to_dict(),
            "int8_peak_gmacs": round(max(kernels.values()), 1),
            "int8_kernels_gmacs": {stage: round(value, 1) for stage, value in kernels.items()},
        }

    def _stages(self) -> None:
        peak = self.record["limits"]["int8_peak_gmacs"]
        for name, row in self.rows.items():
            row["stages"] = {
                stage: summarise(values).to_dict()
                for (owner, stage), values in self.measured.stages.items()
                if owner == name
            }
            int8 = row["backend"] in ("ort-int8", "openvino-int8", "openvino-nncf")
            row["bound"] = explain(row["stages"], row["macs"] if int8 else None, peak)

    def folders(self) -> None:
        """Stream a folder through each backend on one worker and on two."""
        files = [
            self.work.files[number % len(self.work.files)]
            for number in range(self.effort.folder_images)
        ]
        workers = [count for count in (1, 2) if count <= available_threads()]
        rounds = self.effort.folder_rounds
        meter = EnergyMeter()
        if meter.reason:
            self.record["left_out"].append(f"images per joule: {meter.reason}")
        steps = rounds * len(self.backends) * len(workers)
        with self.progress.bar("folders", steps) as step:
            done = time_folders(
                self.backends, files, workers, rounds, step=step, meter=meter, seed=self.config.seed
            )
        self.measured.folders = done.per_image_ms
        for (row, count), samples in done.per_image_ms.items():
            self.rows[row]["folder"][str(count)] = summarise(samples).to_dict()
            if count == 1:
                self.rows[row]["images_per_joule"] = done.images_per_joule.get((row, 1))

    def answer(self) -> None:
        """Score each backend's answers, and compare them with PyTorch's."""
        samples = self.work.labelled
        files = [one.file for one in samples] or list(self.work.files)
        trained = {row: one for row, one in self.backends.items() if one.answers}
        records = {}
        with self.progress.bar("answers", len(trained) * len(files)) as step:
            for row, backend in trained.items():
                try:
                    records[row] = answers(backend, files, step)
                except Exception as error:  # as above
                    reason = f"accuracy of {row}: it failed: {first_line(error)}"
                    self.record["left_out"].append(reason)
                    continue
                if samples:
                    self.rows[row]["accuracy"] = score(records[row], samples, backend.labels)
        for row, answered in records.items():
            original = records.get(f"{self.rows[row]['network']}/pytorch-best")
            if original is not None:
                self.rows[row]["agreement"] = agreement(answered, original)

    def start(self) -> None:
        """Start fresh processes: the time to the first answer, and the memory."""
        one = self.work.files[:1]
        times: dict[str, list[list[float]]] = {row: [] for row in (IMPORTS, *self.opened)}
        peaks: dict[str, list[int | None]] = {row: [] for row in self.opened}
        generator = np.random.default_rng(self.config.seed)
        steps = self.effort.starts * len(times)
        with pinned(self.config.threads), self.progress.bar("starts", steps) as step:
            processes.start_imports()  # brings the files into the page cache
            for _ in range(self.effort.starts):
                for row in generator.permutation(list(times)):
                    step()
                    try:
                        ended = self._start(str(row), one)
                    except ChildError as error:
                        self.record["left_out"].append(f"cold start of {row}: {error}")
                        del times[row]
                        peaks.pop(row, None)
                        continue
                    times[row].append([1e3 * ended.first_line_s])
                    if row in peaks:
                        peaks[row].append(ended.peak_bytes)
        self.measured.starts = {row: np.array(values) for row, values in times.items()}
        if IMPORTS in times:
            floor = summarise(self.measured.starts[IMPORTS])
            self.record["limits"]["imports_ms"] = floor.to_dict()
        for row, told in peaks.items():
            known = [value for value in told if value is not None]
            self.measured.peaks[row] = max(known) if known else None
            self.rows[row]["peak_bytes"] = self.measured.peaks[row]
            self.rows[row]["start_ms"] = summarise(self.measured.starts[row]).to_dict()

    def _start(self, row: str, files: tuple[Path, ...]) -> processes.Started:
        if row == IMPORTS:
            return processes.start_imports()
        name, network = self.opened[row]
        if name in ("ort-fp32", "ort-int8"):
            model = network.int8 if name == "ort-int8" else network.fp32
            assert model is not None
            return processes.start_infer(model, files, threads=1)
        backend = self.backends[row]
        settings = replace(self.settings, variant=backend.variant, prepared=backend.prepared)
        return processes.start_backend(name, network, settings, files)

    def scale(self) -> None:
        """Measure how the cost of each network's own file grows."""
        for network in self.networks:
            row = f"{network.id}/{'ort-int8' if network.int8 else 'ort-fp32'}"
            if row in self.backends and network.model is not None:
                grown: dict[str, Any] = {}
                self.record["scaling"][network.id] = grown
                self._scale(network.model, row, grown)
        if self.effort.sweep:
            self._sweep()

    def _scale(self, model: Path, row: str, grown: dict[str, Any]) -> None:
        effort, backend = self.effort, self.backends[row]
        if effort.resolutions:
            with self.progress.bar("resolutions", len(scaling.RESOLUTIONS_PX)) as step:
                grown["resolution"] = scaling.by_resolution(
                    backend, self.folder / row / "sizes", effort.rounds, effort.calls, step
                )
            files = self.work.files * (effort.folder_images // len(self.work.files))
            grown["threads"] = scaling.by_threads(
                backend, files, available_threads(), effort.folder_rounds
            )
        if effort.counts:
            place = self.folder / row / "counts"
            grown["images"] = scaling.by_images(
                model, self.work.files, effort.counts, place, self.progress
            )
            last = grown["images"][-1]
            self.measured.many[row] = (last["images"], last["peak_bytes"])

    def _sweep(self) -> None:
        try:
            from edge_mri_bench import sweep

            sizes = [("mobilenet_v2", size) for size in sweep.SIZES_PX]
            rows, missing = sweep.by_network(
                [*sweep.NETWORKS, *sizes], self.effort.rounds, self.effort.calls, self.progress
            )
        except (ModuleNotFoundError, EdgeMriError) as error:
            self.record["left_out"].append(f"cost by network: {error}")
            return
        self.record["scaling"]["networks"] = rows
        self.record["left_out"] += [f"cost by network: {reason}" for reason in missing]

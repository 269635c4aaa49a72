"""Two phases of a run: whole folders of images, and whether the answers are right."""

from edge_mri.process.workers import available_threads
from edge_mri_bench.figures.statistics import summarise
from edge_mri_bench.measuring.accuracy import agreement, answers, score
from edge_mri_bench.measuring.energy import EnergyMeter
from edge_mri_bench.measuring.run import Run
from edge_mri_bench.measuring.throughput import time_folders
from edge_mri_train.errors import first_line


def stream_folders(run: Run) -> None:
    """Stream a folder through each backend on one worker and on two, and on as many as threads."""
    found, effort = run.work.files, run.effort
    files = [found[number % len(found)] for number in range(effort.folder_images)]
    wanted = sorted({1, 2, run.config.threads})
    workers = [count for count in wanted if count <= available_threads()]
    meter = EnergyMeter()
    if meter.reason:
        run.record["left_out"].append(f"images per joule: {meter.reason}")
    steps = effort.folder_rounds * len(run.backends) * len(workers)
    with run.progress.bar("folders", steps) as step:
        done = time_folders(
            run.backends,
            files,
            workers,
            effort.folder_rounds,
            cores=run.config.threads,
            step=step,
            meter=meter,
            seed=run.config.seed,
        )
    run.measured.folders = done.per_image_ms
    for (row, count), samples in done.per_image_ms.items():
        run.rows[row]["folder"][str(count)] = summarise(samples).to_dict()
        if count == 1:
            run.rows[row]["images_per_joule"] = done.images_per_joule.get((row, 1))


def answer_all(run: Run) -> None:
    """Score each backend's answers, and compare them with PyTorch's."""
    samples = run.work.labelled
    files = [one.here for one in samples] or list(run.work.files)
    trained = {row: one for row, one in run.backends.items() if one.answers}
    records = {}
    with run.progress.bar("answers", len(trained) * len(files)) as step:
        for row, backend in trained.items():
            try:
                records[row] = answers(backend, files, step)
            except Exception as error:  # backends' errors share no base class
                reason = f"accuracy of {row}: it failed: {first_line(error)}"
                run.record["left_out"].append(reason)
                continue
            if samples:
                run.rows[row]["accuracy"] = score(records[row], samples, backend.labels)
    for row, answered in records.items():
        original = records.get(f"{run.rows[row]['network']}/pytorch-best")
        if original is not None:
            run.rows[row]["agreement"] = agreement(answered, original)

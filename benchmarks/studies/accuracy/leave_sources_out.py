r"""What a gate does with sources that it was not fitted to: whole ones left out, on both sides.

    python benchmarks/studies/accuracy/leave_sources_out.py MODEL --manifest RUN/split.csv \
        --foreign DIR... --together nickparvar,artemis,cheng --together head_ct,mednist_headct \
        --json FILE

Brain images are those that the manifest gives to training and validation, by their sets; foreign
ones those below the folders, each folder with images a source, and what installed packages bring,
which is only asked about unless `--packages` shows it. Sources of `--together` are left out
together. The gate is fitted as an export fits it, to features of MODEL's graph, with drawn and
spoiled images; its limits are chosen on the images that it is fitted to.

For each source left out, with n and Wilson's 95 % interval: the share called foreign, the share
called unfamiliar, and the share rejected. Brain images also with skull and scalp blacked out.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from numpy.typing import NDArray

from edge_mri.images import ImageFiles, read_image
from edge_mri.images.preprocess import PreprocessSpec, preprocess_batch
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile
from edge_mri_export.gate import foreign, novelty
from edge_mri_export.gate.changed import augmented, extracted
from edge_mri_export.gate.drawn import SPOILED_IMAGES, made_up
from edge_mri_export.gate.features import values_of
from edge_mri_export.gate.foreign import Head
from edge_mri_export.gate.images import weights
from edge_mri_export.gate.novelty import Distance
from edge_mri_export.gate.rejection import CHANGED_IMAGES, limits
from edge_mri_export.graph.editing import Graph, only
from edge_mri_export.graph.graph import LOGITS
from edge_mri_train.data.manifest import read_manifest
from edge_mri_train.evaluation.intervals import ratio, wilson
from foreign_images import dicom, folder, packaged, read_all

Values = dict[str, NDArray[np.float32]]


class Gate:
    """A gate fitted to some sources.

    Args:
        plain: Features of brain images, `(direction, early)` by source.
        bare: Of the same, extracted.
        more: Of the same, augmented.
        others: Early features of foreign images by source.
    """

    def __init__(
        self, plain: Sequence[Values], bare: Sequence[Values], more: Sequence[Values],
        others: Sequence[NDArray[np.float32]],
    ) -> None:  # fmt: skip
        seen = [one[novelty.FEATURES] for one in (*plain, *bare, *more)]
        self._distance = Distance.fit(np.concatenate(seen), weights([len(one) for one in seen]))
        brains = [one[foreign.FEATURES] for one in (*plain, *bare)]
        shares = [weights([len(one) for one in side]) / 2 for side in (brains, others)]
        self._head = Head.fit(
            np.concatenate([*brains, *others]),
            np.repeat([False, True], [len(one) for one in shares]),
            np.concatenate(shares),
        )
        sides = [[self.scores(one) for one in side] for side in (plain, bare)]
        self._limits = limits(
            [np.concatenate([far for far, _ in side]) for side in sides],
            [odds for side in sides for _, odds in side],
        )

    def scores(self, given: Values) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return novelty and log odds of N images."""
        fit = self._distance
        away = given[novelty.FEATURES] - fit.mean
        far = (away**2).sum(axis=1) / fit.rest - ((away @ fit.directions) ** 2).sum(axis=1)
        return far, given[foreign.FEATURES] @ self._head.slope + np.float32(self._head.offset)

    def shown(self, given: Values) -> dict[str, Any]:
        """Return which share of N images is foreign, unfamiliar, rejected."""
        far, odds = self.scores(given)
        most, highest = self._limits
        is_foreign = odds > (np.inf if highest is None else highest)
        unfamiliar = (far > most) & ~is_foreign
        n, rejected = len(far), int((is_foreign | unfamiliar).sum())
        return {
            "n": n,
            "foreign": ratio(int(is_foreign.sum()), n),
            "unfamiliar": ratio(int(unfamiliar.sum()), n),
            "rejected": ratio(rejected, n),
            "rejected_ci95": wilson(rejected, n),
        }


def features(path: Path, groups: Mapping[str, NDArray[np.uint8]]) -> dict[str, Values]:
    """Return what the gate looks at, of each group's images."""
    model = only(onnx.load(path), [LOGITS])
    graph = Graph(model, path.name)
    found = {}
    for name, add in (
        (novelty.FEATURES, novelty.add_features),
        (foreign.FEATURES, foreign.add_features),
    ):
        add(graph)
        found[name] = values_of(model, name, list(groups.values()))
    return {
        source: {name: values[row] for name, values in found.items()}
        for row, source in enumerate(groups)
    }


def sources_of(
    options: argparse.Namespace, spec: PreprocessSpec
) -> tuple[dict[str, NDArray[np.uint8]], ...]:
    """Read brain images by set, foreign ones by folder, others of packages, and made-up ones."""
    rng = np.random.default_rng(0)
    files: dict[str, list[Path]] = {}
    for row in read_manifest(options.manifest):
        if row.sample.split in ("train", "val"):
            files.setdefault(row.sample.root.name, []).append(row.sample.file)
    chosen = {
        name: [of[place] for place in rng.permutation(len(of))[: options.most]]
        for name, of in files.items()
    }
    brains = {name: preprocess_batch(read_all(of), spec) for name, of in chosen.items()}
    each = SPOILED_IMAGES // len(chosen)
    whole = [read_image(file) for of in chosen.values() for file in of[:each]]
    folders = {file.parent for file in ImageFiles(options.foreign)}
    shown = {one.name: preprocess_batch(folder(one), spec) for one in sorted(folders)}
    more = {name: preprocess_batch(of, spec) for name, of in (*packaged(), *dicom()) if of}
    return brains, shown, more, made_up(whole, spec)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--foreign", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--together", action="append", default=[], metavar="SOURCES")
    parser.add_argument("--packages", action="store_true", help="show what packages bring too")
    parser.add_argument("--most", type=int, default=700, help="brain images of a source")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    spec = Contract.from_metadata(OnnxFile.read(options.model).metadata).preprocess
    families = {name: one for one in options.together for name in one.split(",")}
    brains, shown, more, drawn = sources_of(options, spec)
    plain = features(options.model, brains)
    bare, changed = (
        dict(zip(brains, features(options.model, of(brains, CHANGED_IMAGES)).values(), strict=True))
        for of in (extracted, augmented)
    )
    if options.packages:
        shown, more = shown | more, {}
    others, asked, made = (features(options.model, one) for one in (shown, more, drawn))

    def gate(without: str) -> Gate:
        kept = [name for name in brains if families.get(name, name) != without]
        fitted = {name: one for name, one in others.items() if families.get(name, name) != without}
        fitted |= {name: one for name, one in made.items() if name != without}
        return Gate(
            [plain[name] for name in kept],
            [bare[name] for name in kept],
            [changed[name] for name in kept],
            [one[foreign.FEATURES] for one in fitted.values()],
        )

    results: dict[str, dict[str, Any]] = {}
    whole = gate("")
    for name in _alike([*brains, *others, *made], families):
        fit = gate(name)
        for kind, groups in (("brain", plain), ("extracted", bare), ("foreign", others | made)):
            for source, given in groups.items():
                if families.get(source, source) == name:
                    results.setdefault(kind, {})[source] = fit.shown(given)
    results["never shown"] = {name: whole.shown(given) for name, given in asked.items()}
    results["shown"] = {name: whole.shown(given) for name, given in (others | made).items()}
    click.echo(f"{'left out':<36}{'n':>6}{'foreign':>10}{'unfamiliar':>12}{'rejected %':>22}")
    for kind, groups in results.items():
        for name, one in groups.items():
            low, high = (100 * end for end in one["rejected_ci95"])
            share = f"{100 * one['rejected']:.1f} ({low:.1f}-{high:.1f})"
            click.echo(
                f"{f'{kind}: {name}'[:35]:<36}{one['n']:>6}{100 * one['foreign']:>10.1f}"
                f"{100 * one['unfamiliar']:>12.1f}{share:>22}"
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _alike(names: Iterable[str], families: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(families.get(name, name) for name in names))


if __name__ == "__main__":
    main()

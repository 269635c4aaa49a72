"""What an export says of the files it wrote or refused, in lines for people."""

from collections.abc import Iterator

from edge_mri_export.exported import Exported

_LISTED = 10


def lines(exported: Exported) -> Iterator[str]:
    """Yield the lines about one file."""
    parity = exported.parity
    kind = exported.precision.upper()
    if exported.quantized_layers:
        kind += ", {} of {} layers quantised".format(*exported.quantized_layers)
        kind += f" ({exported.chosen})"
    if exported.reason:
        size = "not written"
    else:
        size = f"{exported.path.stat().st_size / 1e6:.2f} MB"
    yield f"{exported.path}  {size}  {kind}"
    lesion = parity.max_lesion_difference
    yield (
        f"  against {parity.whose} on {parity.n} images: same answer on "
        f"{100 * parity.agreement:.2f} %, logits differ by at most "
        f"{parity.max_logit_difference:.2g} (mean {parity.mean_logit_difference:.2g})"
        + ("" if lesion is None else f", the lesion map by at most {lesion:.2g}")
    )
    if exported.precision == "fp32":
        return
    for axis, changes in parity.sensitivity_change.items():
        parts = [
            f"{name} {100 * change:+.2f} (n {parity.support[axis][name]})"
            for name, change in changes.items()
        ]
        yield f"  sensitivity by {axis}, points: {', '.join(parts)}"
    if parity.ece is not None:
        before, after = (100 * one for one in parity.ece)
        yield (
            f"  calibration error of the type {before:.2f} % before, {after:.2f} % after; type "
            f"right before alone {parity.only_reference_right}, after alone "
            f"{parity.only_other_right}, McNemar p = {parity.mcnemar_p:.2g}"
        )
    for change in parity.tumor_changes():
        yield f"  {change}"
    if parity.lesion_peaks_moved is not None:
        yield (
            f"    (moves at all on {parity.lesion_peaks_moved}; a lower place: by over 0.01 in "
            "PyTorch's map)"
        )
    for flip in parity.flipped[:_LISTED]:
        yield f"  changed: {flip.path} ({flip.label}): {flip.reference} -> {flip.other}"
    if len(parity.flipped) > _LISTED:
        yield f"  and {len(parity.flipped) - _LISTED} more (--json FILE lists all)"

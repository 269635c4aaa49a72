"""What a quantised file is to be like: the precision, the CPUs it is for, how it is calibrated."""

from dataclasses import dataclass

from edge_mri.errors import OptionError
from edge_mri_export.int8.ranges import METHODS

PRECISIONS = ("none", "int8", "int8-qat", "fp16")
AUTO = "auto"


@dataclass(frozen=True)
class Target:
    """The integers that a kind of CPU multiplies best, and right.

    Attributes:
        activations: `uint8` or `int8`; both asymmetric, per tensor.
        weight_bits: Of the int8 weights, symmetric, per channel.
        cpus: What it is for, for people.
    """

    activations: str
    weight_bits: int
    cpus: str


TARGETS = {
    # 255 * 64 * 2 fits into the 16-bit sums of x86 without VNNI; 255 * 127 * 2 does not, and only
    # edge-mri's runtime asks onnxruntime to be exact there (`edge_mri.model.session`).
    "portable": Target("uint8", 7, "every CPU"),
    "avx512-vnni": Target("uint8", 8, "x86 with VNNI; other runtimes overflow without"),
    "arm64": Target("int8", 8, "64-bit ARM"),
}


@dataclass(frozen=True)
class QuantizationConfig:
    """How to quantise.

    Attributes:
        precision: `none`, `int8` (static), `int8-qat` (fine-tuned with quantisation) or `fp16`.
        target: One of `TARGETS`; None: `portable`.
        method: `auto`, or one of `edge_mri_export.int8.ranges.METHODS`; None: `auto`.
        samples: How many training images calibrate; None: 320, or all where there are fewer.
        exclude: Names of graph nodes that stay in float.
    """

    precision: str = "none"
    target: str | None = None
    method: str | None = None
    samples: int | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("--quantize", self.precision, PRECISIONS)
        if self.target is not None:
            _one_of("--target", self.target, TARGETS)
        if self.method is not None:
            _one_of("--calibration-method", self.method, (AUTO, *METHODS))
        if self.is_int8:
            return
        given = {
            "--target": self.target,
            "--calibration-method": self.method,
            "--calibration-samples": self.samples,
            "--exclude": self.exclude or None,
        }
        for option, value in given.items():
            if value is not None:
                raise OptionError(
                    f"{option} is for INT8, and --quantize is {self.precision}; leave it out, or "
                    "use --quantize int8 or int8-qat"
                )

    @property
    def is_int8(self) -> bool:
        """Whether an INT8 file is asked for."""
        return self.precision in ("int8", "int8-qat")

    @property
    def integers(self) -> Target:
        """The target's integers."""
        return TARGETS[self.target or "portable"]


def _one_of(option: str, value: str, allowed: object) -> None:
    names = list(allowed)  # type: ignore[call-overload]
    if value not in names:
        raise OptionError(f"{option} is {value!r}; expected one of {', '.join(names)}")

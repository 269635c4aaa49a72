"""The kinds of CPU that INT8 arithmetic tells apart, and the floor that each can keep.

The floor is how many times as fast as eager MobileNetV2 at 224 px, both on one thread, the packaged
INT8 model must be end to end. It is well below what was measured on that kind, since builds run
beside other people's work: `edge_net` reached 11.7 (11.2 to 12.9) with VNNI, and 6.9 to 9.3
without, in four runs on a busy machine. On other kinds nothing was measured, and the floor is a
guess that only a broken build misses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_ARM = ("aarch64", "arm64")


@dataclass(frozen=True)
class CpuKind:
    """A kind.

    Attributes:
        says: What a CPU of it has or lacks, after "this CPU".
        floor: Times as fast as the reference.
    """

    says: str
    floor: float


VNNI = CpuKind("has VNNI", 8.0)
AVX2 = CpuKind("has no VNNI", 5.0)
ARM = CpuKind("is an ARM one, of which none was measured", 3.0)
OTHER = CpuKind("shows neither VNNI nor AVX2", 3.0)


def kind_of(machine: Mapping[str, Any]) -> CpuKind:
    """Return the kind of a record's machine.

    Args:
        machine: With its `features` and its `architecture`, as `machine.machine` tells them.
    """
    features = set(machine.get("features") or ())
    if features & _VNNI:
        return VNNI
    if "avx2" in features:
        return AVX2
    return ARM if str(machine.get("architecture")).lower() in _ARM else OTHER

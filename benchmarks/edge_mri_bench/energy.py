"""Energy from the processor's own counters (Linux powercap, RAPL), where the machine has them.

A package's counter covers all its cores and whatever else runs on them.
"""

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Reads the packages' counters, and how far they got in between.

    Attributes:
        reason: Why there is no figure; None where there is.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        zones = sorted(root.glob("intel-rapl:[0-9]")) if root.is_dir() else []
        self._zones: list[tuple[Path, int]] = []
        self.reason: str | None = None
        if not zones:
            self.reason = "this machine shows no energy counters"
            return
        try:
            for zone in zones:
                limit = int((zone / "max_energy_range_uj").read_text())
                self._zones.append((zone / "energy_uj", limit))
            self.read()
        except PermissionError:
            self.reason = "the energy counters may only be read by root"
        except (OSError, ValueError) as error:
            self.reason = f"the energy counters cannot be read: {error}"

    def read(self) -> list[int]:
        """Return each package's counter in microjoules."""
        return [int(counter.read_text()) for counter, _ in self._zones]

    def joules_since(self, before: list[int]) -> float | None:
        """Return the joules since an earlier `read`; None without counters.

        A counter that wrapped once is right, one that wrapped twice is not.
        """
        if self.reason is not None:
            return None
        used = [
            (now - then) % (limit + 1)
            for now, then, (_, limit) in zip(self.read(), before, self._zones, strict=True)
        ]
        return sum(used) / 1e6

"""Energy from the processor's own counters (Linux powercap, RAPL), where the machine has them.

A package's counter covers all its cores and whatever else runs on them. The zone `psys` of laptops,
which covers the packages and the rest of the board, would count them twice, and is left out.
"""

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Reads the packages' counters, and how far they got in between.

    Attributes:
        reason: Why there is no figure; None where there is.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones: list[tuple[Path, int]] = []
        self.reason: str | None = None
        try:
            self._zones = [
                (zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
                for zone in sorted(root.glob("intel-rapl:[0-9]"))
                if (zone / "name").read_text().startswith("package")
            ]
            self.read()
        except PermissionError:
            self.reason = "the energy counters may only be read by root"
        except (OSError, ValueError) as error:
            self.reason = f"the energy counters cannot be read: {error}"
        else:
            if not self._zones:
                self.reason = "this machine shows no energy counters"

    def read(self) -> list[int]:
        """Return each package's counter in microjoules; nothing where there is no figure."""
        if self.reason is not None:
            return []
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

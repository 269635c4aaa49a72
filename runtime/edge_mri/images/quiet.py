"""Libraries that would talk on stderr."""

import logging
import warnings


def keep_pydicom_quiet() -> None:
    """Let pydicom tell nobody of odd values: it quotes them, and they may be a patient's."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")

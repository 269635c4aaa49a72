"""Data without leaks, training brain MR slice classifiers in PyTorch, and measuring them.

Modules that only read data or measure (`folders`, `audit`, `evaluation`, …) import no torch.
"""

import os

# Threads that wait by spinning make training crawl where other processes want the cores too
# (decision record 0004). OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

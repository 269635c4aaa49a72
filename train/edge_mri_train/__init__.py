"""Training brain MR slice classifiers in PyTorch, and measuring them.

Modules that only read data or measure (`folders`, `split`, `evaluation`, …) import no torch.
"""

"""Benchmarks of the whole road against the original PyTorch models."""

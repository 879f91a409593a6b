"""Accuracy on corrupted test images: run, statistics, report."""

"""Trained models at work: devices, prediction, test-time augmentation."""

"""Landmark caches and what is cut from them: splits, audits, augmentation, batches."""

"""What is fitted to validation images: temperature, conformal thresholds, class offsets, ensemble weights."""

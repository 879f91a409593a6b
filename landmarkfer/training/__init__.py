"""Training: from settings and a cache to a run folder."""

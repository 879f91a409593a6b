"""The folders of runs: what a training leaves, and how it is read again."""

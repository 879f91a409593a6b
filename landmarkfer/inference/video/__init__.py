"""Expression over time: videos and cameras in, one row per face and frame out, with faces distinguished."""

"""The face as points and as a graph: landmarks, geometry, pose, alignment, facial graphs. Needs no torch."""

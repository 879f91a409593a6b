"""Facial-expression recognition from the 478 landmarks of a face, as a graph, and fused with pixels.

Importing the package loads neither torch nor MediaPipe; the modules that need them do.
"""

__version__ = "0.1.0"

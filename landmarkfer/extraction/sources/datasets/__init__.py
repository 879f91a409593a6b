"""Data sets that bring their labels along: in one file with the images, or in a file for each image."""

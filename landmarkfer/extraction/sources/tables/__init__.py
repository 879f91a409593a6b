"""Tables that state what images show: their formats, columns, paths, boxes and votes."""

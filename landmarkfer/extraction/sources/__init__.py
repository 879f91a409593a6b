"""Sources of images, as they come: folders, archives, tables, Parquet, arrays and videos.

`open.open_source` lists any of them, with the class, split and group that it states of each image;
`inputs.open_inputs` lists what is handed over for prediction, which states nothing.
"""

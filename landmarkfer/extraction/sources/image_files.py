"""Image files without a table: classes and splits by their paths, or by annotation files beside them."""

from landmarkfer.data.schemes import recognised
from landmarkfer.extraction.sources.containers.listing import Listing, left_out
from landmarkfer.extraction.sources.datasets.annotated import read_annotations
from landmarkfer.extraction.sources.entry import Entry, Source
from landmarkfer.extraction.sources.labels import ReadLabels, read_labels
from landmarkfer.extraction.sources.options import SourceOptions
from landmarkfer.extraction.sources.tables.official import RAFDB_TABLE
from landmarkfer.extraction.sources.tree.layouts import Place, read_layout
from landmarkfer.progress import SILENT, Progress

OF_VIDEO = "the video"
"""The rule by which frames have groups, where nothing else is known."""


def source_of_files(
    listed: Listing, videos: list[str], options: SourceOptions, progress: Progress = SILENT
) -> Source:
    """The source of image files, and of the frames of videos, with what their paths state of them.

    Args:
        listed: The files.
        videos: Those of the other files whose frames are among the images.
        options: How names are read.
        progress: Reports what takes long.

    Raises:
        SourceError: The tree can be read in two ways.
    """
    ids = [image_id for image_id, _ in listed.images]
    annotations = read_annotations(listed, progress) if options.layout == "auto" else None
    used = list(videos)
    if annotations is not None:
        places, remarks = read_layout(ids, SourceOptions("unlabelled", options.split_names))
        read = read_labels(
            [annotations.labels.get(image_id) for image_id in ids],
            ids,
            options.label_names,
            annotations.meaning,
            f"the annotations of {annotations.title}",
        )
        remarks = [*remarks, annotations.remark]
        used += annotations.files
    else:
        places, remarks = read_layout(ids, options)
        read, places, remarks = _labels_of(ids, places, remarks, options)
    ignored, more = left_out(listed, used)
    if not any(read.labels) and options.layout == "auto":
        more += _tables_inside(listed)
    groups = _videos_of(ids, videos)
    entries = [
        Entry(image_id, key, label, place.split, place.subset, group)
        for (image_id, key), label, place, group in zip(
            listed.images, read.labels, places, groups, strict=True
        )
    ]
    source = Source(listed.kind, listed.name, entries, listed.reader, ignored)
    source.remarks, source.readings = [*remarks, *read.remarks, *more], read.readings
    source.group_rule = OF_VIDEO if videos else None
    return source


def _tables_inside(listed: Listing) -> list[str]:
    """A remark on tables that may hold the labels of images without any."""
    tables = listed.named(".csv", ".tsv", ".xlsx", ".jsonl", ".lst", RAFDB_TABLE)
    if not tables:
        return []
    return [f"{tables[0]} inside may be a table of labels: --labels {tables[0]} reads it."]


def _labels_of(
    ids: list[str], places: list[Place], remarks: list[str], options: SourceOptions
) -> tuple[ReadLabels, list[Place], list[str]]:
    """The classes of folders; where none is a class, those that the file names state by a known scheme."""
    if any(place.folder for place in places) or options.layout != "auto":
        spelt = [place.folder for place in places]
        return read_labels(spelt, ids, options.label_names, where="the folders"), places, remarks
    scheme = recognised(ids)
    if scheme is None or not scheme.labels:
        return ReadLabels([None] * len(ids)), places, remarks
    found = [match["label"].upper() if (match := scheme.pattern.search(name)) else None for name in ids]
    meaning = {key.lower(): name for key, name in scheme.labels.items()}
    meaning |= {str(int(key)): name for key, name in scheme.labels.items() if key.isdecimal()}
    read = read_labels(found, ids, options.label_names, meaning, f"the names of {scheme.title}")
    return read, places, [f"Labels are those that the file names of {scheme.title} state."]


def _videos_of(ids: list[str], videos: list[str]) -> list[str | None]:
    if not videos:
        return [None] * len(ids)
    known = set(videos)
    return [name if (name := image_id.rpartition("#")[0]) in known else None for image_id in ids]

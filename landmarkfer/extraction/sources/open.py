"""List a source of images, whatever it is, with what it states of each of them."""

import os
import zipfile
from pathlib import Path
from typing import Any

from landmarkfer.data.labels import sort_classes
from landmarkfer.data.schemes import group_pattern, groups_by, partly_recognised, recognised
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.containers.archive import is_tar, list_tar, list_zip, unpack
from landmarkfer.extraction.sources.containers.folder import list_folder
from landmarkfer.extraction.sources.containers.listing import VIDEO_SUFFIXES, Listing, kinds_of, left_out
from landmarkfer.extraction.sources.containers.video import VideoReader, list_frames
from landmarkfer.extraction.sources.datasets.pixels import is_pixel_csv, open_pixel_csv
from landmarkfer.extraction.sources.entry import Entry, Source
from landmarkfer.extraction.sources.formats import called, format_of
from landmarkfer.extraction.sources.image_files import OF_VIDEO, source_of_files
from landmarkfer.extraction.sources.options import SourceOptions, make_options
from landmarkfer.progress import SILENT, Patient, Progress, counted

_TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".csv.zip", ".tsv.gz", ".csv.bz2", ".csv.xz")
_ARRAYS = (".npz", ".npy")
_PARQUET = (".parquet", ".pq")


def open_source(path: str | os.PathLike[str], progress: Progress = SILENT, **options: Any) -> Source:
    """List the images of a source.

    Args:
        path: A folder of images or videos, a `.zip` or tar of images, a CSV of pixels, Parquet files, a
            folder of `datasets.save_to_disk`, or NumPy files.
        progress: Reports what takes long.
        **options: See `SourceOptions`: `layout`, `labels`, `label_names`, `split_names`, `path_column`,
            `label_column`, `split_column`, `group_column`, `group_pattern`, `boxes`, `fps`.

    Returns:
        The source, with its images sorted by id (those of a table in its row order).

    Raises:
        SourceError: The source does not exist, cannot be listed, holds no image, or can be read in two ways.
    """
    chosen = make_options(**options)
    path = Path(path)
    if not chosen.labels:
        _check_columns(path, chosen)
    if not path.exists():
        raise SourceError(f"{path} does not exist; give a folder of images, a .zip or a CSV of pixels.")
    source = _opened(path, chosen, Patient(progress))
    source.remarks += _uneven_splits(source)
    return _with_groups(source, chosen)


def _uneven_splits(source: Source) -> list[str]:
    """Remarks on classes that one split lacks, and on images without a split, where there are splits."""
    classes: dict[str | None, set[str]] = {}
    for entry in source.entries:
        if entry.label is not None:
            classes.setdefault(entry.split, set()).add(entry.label)
    trained = classes.get("train", set()) | classes.get(None, set())
    remarks = []
    for split in ("test", "val"):
        if split not in classes or not trained:
            continue
        for lacking, where in (
            (classes[split] - trained, "to train on"),
            (trained - classes[split], f"in {split}"),
        ):
            if lacking:
                remarks.append(f"No image of {', '.join(sort_classes(lacking))} {where}.")
    without = sum(entry.label is not None and entry.split is None for entry in source.entries)
    if (
        0 < without < len(source.entries)
        and len(classes) > 1
        and not any("split" in one for one in source.remarks)
    ):
        remarks.append(f"{counted(without, 'image')} with a class and without a split; these are trained on.")
    return list(dict.fromkeys(remarks))


def open_images(path: str | os.PathLike[str], progress: Progress = SILENT) -> Source:
    """List the images of a folder, an archive or a CSV of pixels, whatever names and columns state of them.

    Args:
        path: The source.
        progress: Reports what takes long.

    Raises:
        SourceError: It cannot be listed, or holds no image.
    """
    path = Path(path)
    if path.is_dir():
        listed = list_folder(path)
    elif path.name.lower().endswith(".csv"):
        return open_pixel_csv(path, None, Patient(progress), images_only=True)
    elif zipfile.is_zipfile(path):
        listed = list_zip(path)
    else:
        _check_zip(path)
        listed = list_tar(path, Patient(progress))
    if not listed.images:
        raise SourceError(_nothing(listed, path))
    entries = [Entry(image_id, key) for image_id, key in listed.images]
    ignored, remarks = left_out(listed)
    return Source(listed.kind, listed.name, entries, listed.reader, ignored, remarks, holds=listed.holds)


def _check_zip(path: Path) -> None:
    """Name what is wrong with a file that is named like a zip archive and is none."""
    if path.name.lower().endswith(".zip"):
        kind = format_of(path)
        if kind == "zip archive":
            raise SourceError(
                f"{path} is damaged or no zip archive: its end, which lists its files, is missing, so it is "
                "not complete; copy or download it again."
            )
        raise SourceError(
            f"{path} is damaged or no zip archive but {called(kind)}; copy or download it again."
        )


def _check_columns(path: Path, options: SourceOptions) -> None:
    """Refuse columns of a table without the table, where the source is none itself."""
    columns = {
        "--path-column": options.path_column,
        "--label-column": options.label_column,
        "--split-column": options.split_column,
        "--group-column": options.group_column,
    }
    given = [option for option, name in columns.items() if name is not None]
    if not given or not path.exists():
        return
    tables = (".parquet", ".pq", ".arrow", ".csv", ".tsv", ".gz", ".zip")
    inside = path.is_dir() and any(file.suffix.lower() in (".parquet", ".arrow") for file in path.rglob("*"))
    if not inside and (path.is_dir() or not path.name.lower().endswith(tables)):
        raise SourceError(
            f"columns of a label table were given without the table ({given[0]}); name it with --labels FILE."
        )


def _opened(path: Path, options: SourceOptions, progress: Progress) -> Source:
    if path.is_dir():
        from landmarkfer.extraction.sources.datasets.parquet import is_saved_dataset, open_saved_dataset

        if is_saved_dataset(path):
            return open_saved_dataset(path, options, progress)
        return _of_files(list_folder(path), path, options, progress)
    name = path.name.lower()
    if name.endswith(_PARQUET):
        return _of_parquet([path], path.name, path.parent, options, progress)
    if name.endswith(_ARRAYS):
        from landmarkfer.extraction.sources.datasets.arrays import open_arrays

        return open_arrays([path], path.name, options)
    if name.endswith(_TABLE_ENDINGS) and (name.endswith(".csv") or is_pixel_csv(path)):
        return _of_csv(path, options, progress)
    if zipfile.is_zipfile(path):
        return _of_files(list_zip(path), path, options, progress)
    _check_zip(path)
    if is_tar(path):
        return _of_files(list_tar(path, progress), path, options, progress)
    raise SourceError(
        f"{path} is neither a folder, nor a .zip, nor a .csv, but {called(format_of(path))}; unpack other "
        f"archives, and "
        "give the folder that holds the images."
    )


def _of_csv(path: Path, options: SourceOptions, progress: Progress) -> Source:
    kind = format_of(path)
    if kind not in ("text file", "text file (UTF-16)", "gzip file", "zip archive", "bzip2 file", "xz file"):
        raise SourceError(f"{path} is named like a table and is {called(kind)}; copy or download it again.")
    return open_pixel_csv(path, options, progress)


def _of_parquet(
    files: list[Path], name: str, root: Path, options: SourceOptions, progress: Progress
) -> Source:
    from landmarkfer.extraction.sources.datasets.parquet import open_image_tables

    if options.labels:
        raise SourceError(
            "--labels goes with a folder or .zip of images; Parquet files have their own labels."
        )
    return open_image_tables(files, name, "parquet", root, options, progress)


def _of_files(listed: Listing, path: Path, options: SourceOptions, progress: Progress) -> Source:
    """The source of a folder or an archive: image files, or else the data sets in it."""
    videos = _take_videos(listed, path, options, progress)
    tables = options.labels or _metadata_tables(listed, options)
    if tables:
        from landmarkfer.extraction.sources.tables.apply import apply_label_tables

        if not listed.images and (held := _held(listed, path, options, progress)) is not None:
            return held
        found = [_table_of(listed, path, table) for table in tables]
        source = _keeping(apply_label_tables(listed, [table for table, _ in found], options), listed)
        source.holds = (source.holds, [holds for _, holds in found])
        return source
    if not listed.images:
        held = _held(listed, path, options, progress)
        if held is not None:
            return held
        raise SourceError(_nothing(listed, path))
    return _keeping(source_of_files(listed, videos, options, progress), listed)


def _metadata_tables(listed: Listing, options: SourceOptions) -> list[Path]:
    """The tables that Hugging Face's image folders have: `metadata.csv` beside the images of each split."""
    if options.layout != "auto":
        return []
    return [Path(name) for name in listed.named("metadata.csv", "metadata.jsonl")]


def _table_of(listed: Listing, path: Path, table: Path) -> tuple[Path, object]:
    """The table of labels, also where it lies in the folder or archive; and what has to exist as long."""
    if table.is_dir():
        raise SourceError(f"{table} is a folder, and --labels needs a table of labels.")
    if table.exists():
        return table, None
    name = table.as_posix()
    if name not in listed.others:
        raise SourceError(f"{table} does not exist, neither here nor in {path}; give a table of labels.")
    if listed.kind == "folder":
        return path / str(listed.others[name]), None
    folder = unpack(listed, [name])
    return folder.path / table, folder


def _keeping(source: Source, listed: Listing) -> Source:
    source.holds = listed.holds
    return source


def _take_videos(listed: Listing, path: Path, options: SourceOptions, progress: Progress) -> list[str]:
    """Make the frames of videos images of the listing; return the videos."""
    videos = listed.named(*VIDEO_SUFFIXES)
    if options.fps is None or not videos:
        return []
    if listed.kind != "folder":
        raise SourceError(f"{path} holds videos in an archive; unpack it to take frames of them.")
    frames = list_frames(path, [str(listed.others[name]) for name in videos], options.fps, progress)
    listed.images = sorted([*listed.images, *frames], key=lambda image: image[0])
    listed.reader = VideoReader(str(path))
    return videos


def _held(listed: Listing, path: Path, options: SourceOptions, progress: Progress) -> Source | None:
    """The data set in a folder or an archive without image files: Parquet, a CSV of pixels, or arrays."""
    for endings in (_PARQUET, _TABLE_ENDINGS, _ARRAYS):
        names = listed.named(*endings)
        if not names:
            continue
        root, keeps = path, None
        if listed.kind != "folder":
            keeps = unpack(listed, names, progress)
            root = keeps.path
        files = [root / name for name in names]
        if endings is _TABLE_ENDINGS:
            files = [file for file in files if is_pixel_csv(file)]
            if not files:
                continue
            if len(files) > 1:
                shown = ", ".join(file.relative_to(root).as_posix() for file in files)
                raise SourceError(
                    f"{path} holds several CSVs of pixels ({shown}); give the one that is meant."
                )
            source = open_pixel_csv(files[0], options, progress)
        elif endings is _PARQUET:
            source = _of_parquet(files, path.name, root, options, progress)
        else:
            from landmarkfer.extraction.sources.datasets.arrays import open_arrays

            source = open_arrays(files, path.name, options)
        used = [file.relative_to(root).as_posix() for file in files]
        source.ignored, remarks = left_out(listed, used)
        source.remarks += remarks
        source.holds = (source.holds, keeps, listed.holds)
        return source
    return None


def _with_groups(source: Source, options: SourceOptions) -> Source:
    """Name the person or the sequence of each image by its path, where the source did not."""
    ids = [entry.id for entry in source.entries]
    if options.group_pattern is not None:
        pattern = group_pattern(options.group_pattern)
        groups = groups_by(pattern, ids)
        if not any(groups):
            raise SourceError(
                f"the group pattern {options.group_pattern!r} matches no image; the first is {ids[0]}."
            )
        source.group_rule = f"the pattern {options.group_pattern}"
    elif source.group_rule in (None, OF_VIDEO) and (scheme := recognised(ids)) is not None:
        groups = groups_by(scheme.pattern, ids)
        source.group_rule = f"the file names, which are those of {scheme.title}"
        lacking = [image_id for image_id, group in zip(ids, groups, strict=True) if group is None]
        if lacking:
            source.remarks.append(
                f"{counted(len(lacking), 'image')} not named as those of {scheme.title} are ({lacking[0]})."
            )
    else:
        source.remarks += partly_recognised(ids) if source.group_rule is None else []
        return source
    source.entries = [
        entry._replace(group=group) for entry, group in zip(source.entries, groups, strict=True)
    ]
    return source


def _nothing(listed: Listing, path: Path) -> str:
    """Why a folder or an archive without images is no source."""
    archives = left_out(listed)[1]
    hint = f" {archives[0]}" if archives else ""
    what = f" ({kinds_of(list(listed.others))})" if listed.others else ""
    return (
        f"{path} holds no images ({counted(len(listed.others), 'other file')}); images end in "
        f".jpg, .png, .webp, .bmp, .gif, .tif and the like{'; there are' + what if what else ''}.{hint}"
    )

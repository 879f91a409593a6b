"""`landmarkfer inspect`: what is in a landmark cache, and what is wrong with it."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command


@click.command(cls=Command)
@click.argument("cache", required=False)
@click.option(
    "--near-duplicates/--no-near-duplicates",
    default=True,
    show_default=True,
    help="Look for mirrored, turned, rescaled, recompressed and cropped copies.",
)
@click.option(
    "--contact-sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the picture of sample faces with their landmarks. [CACHE/contact-sheet.png]",
)
@click.option(
    "--pair-sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the picture of conflicting and near-duplicate pairs. [CACHE/near-duplicates.png]",
)
@click.option(
    "--confounds",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the picture of what besides the face goes with the class. [CACHE/confounds.png]",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything, with all ids, as JSON.")
def inspect(
    cache: str | None,
    near_duplicates: bool,
    contact_sheet: Path | None,
    pair_sheet: Path | None,
    confounds: Path | None,
    as_json: bool,
) -> None:
    """Count what is in CACHE and look for what spoils results.

    Shows images per class and split, how many faces were found, pixel-identical images, those with
    conflicting labels, images that occur in two splits, near-duplicates, constant and unreadable images.
    Shows which features besides the face (size, colour, brightness, file format, names, folders) are
    associated with the class. Writes a contact sheet, a picture of conflicting and near-duplicate pairs,
    and one of the confounds, where there are features to draw. Near-duplicates and what is measured of the
    images are stored in the cache's folder. CACHE is a folder, a name under ./cache, or left out if there
    is only one there.

    \b
    Examples:
      landmarkfer inspect
      landmarkfer inspect fer2013 --contact-sheet faces.png
      landmarkfer inspect fer2013 --json > audit.json
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.cli.inspect_report import print_audit
    from landmarkfer.data.audit import audit
    from landmarkfer.data.cache import LandmarkCache, find_cache
    from landmarkfer.progress import show_progress
    from landmarkfer.reporting.confounds import write_confounds
    from landmarkfer.reporting.contact_sheet import write_contact_sheet
    from landmarkfer.reporting.pair_sheet import write_pair_sheet

    opened = LandmarkCache.open(find_cache(cache))
    with show_progress() as progress:
        found = audit(opened, near=near_duplicates, progress=progress)
    sheet = contact_sheet or opened.path / "contact-sheet.png"
    write_contact_sheet(opened, sheet)
    pairs = pair_sheet or opened.path / "near-duplicates.png"
    write_pair_sheet(opened, found, pairs)
    picture = confounds or opened.path / "confounds.png"
    drawn = bool(found.confounds.found)
    if drawn:
        write_confounds(found.confounds, picture, opened.path.resolve().name)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        print_audit(found, sheet, pairs, picture if drawn else None)

"""What `landmarkfer track` prints of a video."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from landmarkfer.progress import counted

_MOST_LABELS = 3


def print_timeline(video: str, folder: Path | None, summary: dict[str, Any]) -> None:
    """Print what each track of a video shows, and the folder of its timeline, if there is one."""
    console = Console()
    console.print(video if folder is None else f"{video}: {folder}/", markup=False, soft_wrap=True)
    parts = [counted(summary["frames_tracked"], "frame"), counted(len(summary["tracks"]), "face")]
    if summary["frames_without_face"]:
        parts.append(f"{summary['frames_without_face']:,} without a face")
    if summary["cuts"]:
        parts.append(counted(summary["cuts"], "cut"))
    if summary["damaged_packets"]:
        parts.append(f"{counted(summary['damaged_packets'], 'damaged packet')} left out")
    console.print("; ".join(parts), markup=False)
    if not summary["tracks"]:
        return
    table = Table(box=None, pad_edge=False)
    for name in ("face", "seconds", "frames", "labels, by share of frames", "changes"):
        table.add_column(name, justify="left" if name.startswith("labels") else "right")
    for track in summary["tracks"]:
        shares = sorted(track["share_of_frames"].items(), key=lambda item: -item[1]["mean"])
        labels = [f"{name} {_share(share)}" for name, share in shares[:_MOST_LABELS] if share["mean"]]
        changes = sum(step["times"] for step in track["transitions"])
        table.add_row(
            str(track["track"]),
            f"{track['first_s']:.1f} to {track['last_s']:.1f}",
            f"{track['frames']:,}",
            ", ".join(labels),
            str(changes),
        )
    console.print(table)


def print_live(figures: dict[str, Any]) -> None:
    """Print how fast a camera was followed."""
    Console().print(
        f"{counted(figures['frames'], 'frame')}, {figures['frames_per_second']:.1f} a second, "
        f"{figures['dropped']:,} dropped; latency {figures['latency_ms']:.0f} ms (median)"
    )


def _share(share: dict[str, float | None]) -> str:
    assert share["mean"] is not None
    text = f"{100 * share['mean']:.0f} %"
    low, high = share["low"], share["high"]
    return text if low is None or high is None else f"{text} ({100 * low:.0f} to {100 * high:.0f})"

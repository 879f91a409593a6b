"""What an audit of a landmark cache finds, as frozen pydantic models that print themselves as JSON."""

from collections import Counter

from pydantic import BaseModel, ConfigDict, computed_field

from landmarkfer.data.confounds.report import Confounds


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Count(_Frozen):
    """Images of one class in one split, by what became of them; None for images without label or split."""

    label: str | None
    split: str | None
    ok: int
    no_face: int
    unreadable: int

    @property
    def images(self) -> int:
        """All of them."""
        return self.ok + self.no_face + self.unreadable


class Group(_Frozen):
    """Two or more pixel-identical images, with the labels and splits that occur among them, sorted."""

    ids: list[str]
    labels: list[str]
    splits: list[str]


class NearPair(_Frozen):
    """Two images that show the same picture but differ; each stands for all images identical to it.

    `similarity` is the correlation of what agrees least, at most 1; `labels` and `splits` are those of the
    first and the second.
    """

    first: str
    second: str
    similarity: float
    labels: list[str | None]
    splits: list[str | None]

    @property
    def conflicting(self) -> bool:
        """Whether both have labels, and different ones."""
        return None not in self.labels and self.labels[0] != self.labels[1]


class Leak(_Frozen):
    """How many images of one split (and its `subset`, the data set's own name) occur in another split too.

    `identical` of them have a pixel-identical image there, and `near` further ones only a near-duplicate.
    """

    split: str
    subset: str | None
    other: str
    identical: int
    near: int | None


class GroupLeak(_Frozen):
    """Groups of one split that occur in another too, and how many images of the first split are of them."""

    split: str
    other: str
    groups: list[str]
    images: int


class Groups(_Frozen):
    """The people or sequences that images are of.

    `rule` is the data set whose file names state them, where the cache itself does not; `without` counts
    images of no group.
    """

    rule: str | None
    groups: int
    without: int
    leaks: list[GroupLeak]


class Unreadable(_Frozen):
    """An image that could not be decoded, or on which the detector failed, and why."""

    id: str
    reason: str


class Audit(_Frozen):
    """What `audit` found.

    Attributes:
        cache: Folder of the cache.
        complete: Whether the extraction that writes it has finished; if not, only what is there was audited.
        rows: Images audited.
        decoded: Those whose pixels could be read, a detector's failure on them notwithstanding.
        detector: Name of the detector.
        crop: Side of the stored crops in pixels, None where images are stored as they were.
        classes: Class names in their canonical order.
        counts: Images by class and split.
        distinct: Number of different images, by pixels, among the decoded ones.
        identical: Groups of pixel-identical images.
        near_threshold: Least similarity of near-duplicates, None if not looked for.
        near: Pairs of near-duplicates.
        near_groups: Groups that these pairs link together.
        groups: People or sequences, as the cache or else the file names state them; None where neither does.
        leaks: Images that occur in another split too; a pair of splits without any is left out.
        constant: Ids of images whose stored pixels are all equal.
        unreadable: Images that could not be decoded, or on which the detector failed.
        confounds: What besides the face states the class of an image.
    """

    cache: str
    complete: bool
    rows: int
    decoded: int
    detector: str
    crop: int | None
    classes: list[str]
    counts: list[Count]
    distinct: int
    identical: list[Group]
    near_threshold: float | None
    near: list[NearPair]
    near_groups: int
    groups: Groups | None
    leaks: list[Leak]
    constant: list[str]
    unreadable: list[Unreadable]
    confounds: Confounds

    @computed_field  # type: ignore[prop-decorator]
    @property
    def detection_rate(self) -> dict[str, float]:
        """Share of the images of each class in which a face was found; those without a label as `""`."""
        images, found = Counter[str](), Counter[str]()
        for count in self.counts:
            images[count.label or ""] += count.images
            found[count.label or ""] += count.ok
        return {name: found[name] / images[name] for name in images}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> dict[str, int]:
        """All counts; see `leaks` for what occurs in two splits."""
        return {
            "images": self.rows,
            "ok": sum(count.ok for count in self.counts),
            "no_face": sum(count.no_face for count in self.counts),
            "unreadable": len(self.unreadable),
            "distinct": self.distinct,
            "identical_groups": len(self.identical),
            "conflicting_groups": len(self.conflicting),
            "near_pairs": len(self.near),
            "near_groups": self.near_groups,
            "near_conflicting_pairs": sum(pair.conflicting for pair in self.near),
            "constant": len(self.constant),
        }

    @property
    def conflicting(self) -> list[Group]:
        """The groups of pixel-identical images that carry more than one label."""
        return [group for group in self.identical if len(group.labels) > 1]

    @property
    def near_by_interest(self) -> list[NearPair]:
        """The near-duplicates, those with different labels first, then those in different splits.

        Among each, pairs of images that no pair before them shows come first.
        """
        shown: set[str] = set()
        places = {}
        for place, pair in enumerate(self.near):
            repeated = pair.first in shown or pair.second in shown
            shown |= {pair.first, pair.second}
            key = (not pair.conflicting, pair.splits[0] == pair.splits[1], repeated, place)
            places[key] = pair
        return [places[key] for key in sorted(places)]

    def leaked(self, split: str, other: str) -> int:
        """How many images of `split` have a pixel-identical one in `other`."""
        return sum(leak.identical for leak in self.leaks if (leak.split, leak.other) == (split, other))

"""What was found of confounds, as frozen pydantic models that print themselves as JSON."""

from pydantic import BaseModel, ConfigDict, computed_field

ALPHA = 0.05
"""Largest corrected p-value of an association that is reported as one."""
FLOOR = 0.01
"""Least share of the label's entropy that counts as strong."""
MOST_SLICED = 3
"""Features at most by which test images are sliced."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fact(_Frozen):
    """The most informative pair of a class and a value of a feature.

    `share` of the images of `label` and `others` of the remaining ones have the value, or have another one
    where `negated`; `text` states it. `groups` is the least number of groups of the images that it rests on:
    those of the class and those of the others that set the two apart; None where images are independent.
    """

    label: str
    value: str
    negated: bool
    share: float
    others: float
    text: str
    groups: int | None = None


class Confound(_Frozen):
    """A feature of the images that is no expression, and how much it states of the label.

    Attributes:
        feature: Its name.
        images: How many labelled images it is known of.
        share: Share of the label's entropy that it explains beyond chance, as estimated.
        p: p-value of the test of independence, corrected after Holm over the features.
        fact: The most informative pair of a class and a value.
        counts: Images by value and class; numbers in their order, other values by frequency, rare ones
            together at the end.
        ordered: Whether the values are ranges of numbers.
        same_as: A stronger feature whose values nearly coincide with its own, of which it is another sign.
    """

    feature: str
    images: int
    share: float
    p: float
    fact: Fact
    counts: dict[str, dict[str, int]]
    ordered: bool = False
    same_as: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def strong(self) -> bool:
        """Whether the association is significant and above the floor."""
        return self.p <= ALPHA and self.share >= FLOOR


class Confounds(_Frozen):
    """How much the features of the labelled images of a cache state of the label, the strongest first.

    Attributes:
        images: Labelled images.
        groups: Groups (people, sequences, identical images) they are of, which are tested as wholes; None
            where all images are independent.
        found: The features that vary.
        constant: Those that do not, or whose values are all rare.
        spelt: Those whose values are one for each class, which are taken for spellings of the label.
        reason: Why nothing was measured, a sentence; None where something was.
    """

    images: int
    groups: int | None
    found: list[Confound]
    constant: list[str]
    spelt: list[str]
    reason: str | None = None

    @property
    def strong(self) -> list[Confound]:
        """Those that are significant and above the floor."""
        return [confound for confound in self.found if confound.strong]

    @property
    def strongest(self) -> list[Confound]:
        """Of those, the strongest that are not nearly the same as a stronger one."""
        return [confound for confound in self.strong if confound.same_as is None][:MOST_SLICED]

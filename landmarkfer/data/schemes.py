"""File names of data sets that state the person, the sequence or the expression.

Sources: the data sets' own descriptions. CK+ (Lucey et al. 2010), JAFFE (Lyons et al. 1998), KDEF (Lundqvist
et al. 1998), Oulu-CASIA (Zhao et al. 2011), LFW and what follows it (Huang et al. 2007), RAVDESS (Livingstone
and Russo 2018), CREMA-D (Cao et al. 2014).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from landmarkfer.errors import SourceError

_JAFFE = {"AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "NE": "neutral", "SA": "sad"}
_CREMAD = {"ANG": "angry", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
_RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")


@dataclass(frozen=True)
class Scheme:
    """How a data set names its files.

    Attributes:
        title: The data set.
        pattern: Searched for in an image's path; `group` names the person, `label`, if it is there, the
            class.
        example: A path that it fits.
        labels: Classes by what `label` matches.
    """

    title: str
    pattern: re.Pattern[str]
    example: str
    labels: Mapping[str, str] = field(default_factory=dict)


SCHEMES: dict[str, Scheme] = {
    "ck+": Scheme(
        "CK+", re.compile(r"(?:^|/)(?P<group>S\d{3})_\d{3}_\d{8}\.[^/]*$"), "S005/001/S005_001_00000011.png"
    ),
    "jaffe": Scheme(
        "JAFFE",
        re.compile(r"(?:^|/)(?P<group>[A-Z]{2})\.(?P<label>AN|DI|FE|HA|NE|SA|SU)\d+\.\d+\.[^/]*$"),
        "KA.AN1.39.tiff",
        {**_JAFFE, "SU": "surprise"},
    ),
    "kdef": Scheme(
        "KDEF",
        re.compile(
            r"(?:^|/)[AB](?P<group>[FM]\d{2})(?P<label>AF|AN|DI|HA|NE|SA|SU)(?:FL|FR|HL|HR|S)\.[^/]*$", re.I
        ),
        "AF01/AF01ANS.JPG",
        {**_JAFFE, "AF": "fear", "SU": "surprise"},
    ),
    "oulu-casia": Scheme(
        "Oulu-CASIA",
        re.compile(r"(?:^|/)(?P<group>P\d{3})/(?:[^/]+/)*[^/]+$"),
        "NI/Strong/P001/Anger/000.jpeg",
    ),
    "lfw": Scheme(
        "LFW", re.compile(r"(?:^|/)(?P<group>[^\W\d_][^/]*?)_\d{3,5}\.[^/.]+$"), "Aaron_Eckhart_0001.jpg"
    ),
    "ravdess": Scheme(
        "RAVDESS",
        re.compile(r"(?:^|/)0[1-3]-0[12]-(?P<label>0[1-8])-\d\d-\d\d-\d\d-(?P<group>\d\d)\.[^/]*$"),
        "Actor_01/02-01-06-01-02-01-12.mp4",
        {f"{number:02d}": name for number, name in enumerate(_RAVDESS, start=1)},
    ),
    "crema-d": Scheme(
        "CREMA-D",
        re.compile(r"(?:^|/)(?P<group>1\d{3})_[A-Z]{3}_(?P<label>ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{2}\.[^/]*$"),
        "1001_DFA_ANG_XX.flv",
        _CREMAD,
    ),
}
"""Schemes by the name that `--group-pattern` takes."""

_NEARLY_ALL = 0.9

# Two words at least, each with a capital: `IMG_0001.jpg` and `Training_0001.jpg` name nobody.
_NAMED_PEOPLE = re.compile(r"(?:^|/)[^\W\d_a-z][^/_]*(?:_[^\W\d_a-z][^/_]*)+_\d{3,5}\.[^/.]+$")


def recognised(paths: Sequence[str]) -> Scheme | None:
    """The scheme that nine of ten paths or more follow, of at least two people; None without one."""
    found = _best(paths)
    return found[0] if found is not None and found[1] >= _NEARLY_ALL * len(paths) else None


def partly_recognised(paths: Sequence[str]) -> list[str]:
    """A remark where many paths follow a scheme, and too many do not."""
    found = _best(paths)
    if found is None or found[1] < len(paths) / 2 or recognised(paths) is not None:
        return []
    scheme, number = found
    name = next(name for name, one in SCHEMES.items() if one is scheme)
    return [
        f"{number:,} of {len(paths):,} images are named like those of {scheme.title}, and the people in "
        f"these names "
        f"are not used; --group-pattern {name} uses them."
    ]


def _best(paths: Sequence[str]) -> tuple[Scheme, int] | None:
    """The scheme that most paths follow, and how many do."""
    best: tuple[Scheme, int] | None = None
    for name, scheme in SCHEMES.items():
        pattern = _NAMED_PEOPLE if name == "lfw" else scheme.pattern
        fitting = [path for path in paths if pattern.search(path)]
        if len({_group(scheme.pattern, path) for path in fitting}) > 1 and len(fitting) > (
            best[1] if best else 0
        ):
            best = scheme, len(fitting)
    return best


def group_pattern(text: str) -> re.Pattern[str]:
    """A regular expression as a user gives it, or that of a scheme by its name.

    Raises:
        SourceError: It is no regular expression.
    """
    scheme = SCHEMES.get(text.lower())
    if scheme is not None:
        return scheme.pattern
    try:
        return re.compile(text)
    except re.error as error:
        known = ", ".join(SCHEMES)
        raise SourceError(
            f"the group pattern {text!r} is no regular expression ({error}); give one, or one of {known}."
        ) from error


def groups_by(pattern: re.Pattern[str], paths: Sequence[str]) -> list[str | None]:
    """The group of each path: what the pattern's `group`, its first group or all of it matches; or None."""
    return [_group(pattern, path) for path in paths]


def _group(pattern: re.Pattern[str], path: str) -> str | None:
    match = pattern.search(path)
    if match is None:
        return None
    found = match.groupdict().get("group") or (match[1] if pattern.groups else match[0])
    return found or None

"""Random trees of folders: every image gets what its path states, or the tree is refused."""

from hypothesis import given, settings
from hypothesis import strategies as st

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.tree.layouts import read_layout

CLASSES = {
    "happy": ["happy", "Happiness", "3_happy", "JOY", "happy_faces", "Glücklich"],
    "sad": ["sad", "Sadness", "04-sad", "tristeza"],
    "angry": ["Anger", "angry", "0 angry", "Wütend"],
    "surprise": ["Surprise", "surprised", "5.surprise"],
}
SPLITS = {
    "train": ["train", "Training", "training_set", "Train_Aligned_Faces", "train2", "TrainData"],
    "val": ["val", "validation", "valid", "Validation-Data", "dev"],
    "test": ["test", "Test", "testing", "test_set", "PublicTest", "PrivateTest", "testset"],
}
WRAPPERS = ["archive", "data", "images", "DATASET", "v1.0", "fer_2013", "S001", "my photos"]

A_CLASS = st.sampled_from([(name, spelt) for name, all_ in CLASSES.items() for spelt in all_])
A_SPLIT = st.sampled_from([(name, spelt) for name, all_ in SPLITS.items() for spelt in all_] + [(None, "")])
SOME_WRAPPERS = st.lists(st.sampled_from(WRAPPERS), max_size=2)


@st.composite
def images(draw):
    """A path, and the class and split that it states."""
    label, folder = draw(A_CLASS)
    split, split_folder = draw(A_SPLIT)
    if draw(st.booleans()) and draw(st.booleans()):
        label = folder = None  # a stray file
    middle = [name for name in ([split_folder] if split else []) + ([folder] if folder else [])]
    if draw(st.booleans()):
        middle.reverse()
    inside = draw(SOME_WRAPPERS) if draw(st.booleans()) else []
    place = draw(st.integers(0, len(middle)))
    parts = [*draw(SOME_WRAPPERS), *middle[:place], *inside, *middle[place:]]
    return "/".join([*parts, f"{draw(st.integers(0, 30))}.jpg"]), label, split


def said(path):
    """The splits and classes that the folders of a path state, by the tables above alone."""
    folders = path.split("/")[:-1]
    splits = {name for name, spelt in SPLITS.items() if set(spelt) & set(folders)}
    labels = {name for name, spelt in CLASSES.items() if set(spelt) & set(folders)}
    return splits, labels


@settings(max_examples=300, deadline=None)
@given(st.lists(images(), min_size=1, max_size=12, unique_by=lambda image: image[0]))
def test_every_image_gets_what_its_path_states_or_the_tree_is_refused(drawn):
    paths = [path for path, _, _ in drawn]
    try:
        places, _ = read_layout(paths)
    except SourceError:
        return
    for (path, label, split), place in zip(drawn, places, strict=True):
        splits, labels = said(path)
        assert place.split == split, path
        if label is not None:
            assert place.label == label, path
        if "test" in splits:
            assert place.split == "test", path
        assert not labels or place.label in labels, path


@settings(max_examples=200, deadline=None)
@given(
    st.lists(A_CLASS, min_size=2, max_size=4, unique_by=lambda pair: pair[0]),
    st.lists(A_SPLIT.filter(lambda pair: pair[0]), min_size=1, max_size=3, unique_by=lambda pair: pair[0]),
    SOME_WRAPPERS,
    st.booleans(),
)
def test_well_formed_trees_are_never_refused(classes, splits, wrappers, split_below):
    drawn = [
        ("/".join([*wrappers, *((c, s) if split_below else (s, c)), "1.jpg"]), label, split)
        for label, c in classes
        for split, s in splits
    ]
    places, remarks = read_layout([path for path, _, _ in drawn])
    assert [(place.label, place.split) for place in places] == [(label, split) for _, label, split in drawn]
    assert remarks == []

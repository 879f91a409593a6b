import io

import pytest
from rich.console import Console

from landmarkfer.cli.confounds_report import print_confounds
from landmarkfer.data.confounds import Confound, Confounds, Fact


def confound(feature, share, p, **more):
    fact = Fact(
        label="sad", value="[9]", negated=False, share=0.9, others=0.1,
        text=f"sad: 90 % have {feature} [9] (others: 10 %)",
    )  # fmt: skip
    counts = {"[9]": {"happy": 1, "sad": 9}, "another": {"happy": 9, "sad": 1}}
    return Confound(feature=feature, images=20, share=share, p=p, fact=fact, counts=counts, **more)


def report(*found, **more):
    plain = {"images": 20, "groups": None, "constant": [], "spelt": []}
    return Confounds(**plain | {"found": list(found)} | more)


def printed(found):
    console = Console(width=80, record=True, file=io.StringIO())
    print_confounds(found, console)
    text = console.export_text()
    assert "…" not in text, "it fits a terminal"
    return " ".join(text.split())


def test_features_with_the_share_p_and_the_fact():
    text = printed(
        report(
            confound("image size", 0.213, 0.001),
            confound("colour", 0.2, 0.001, same_as="image size"),
            confound("brightness", 0.03, 0.4),
            confound("contrast", -0.01, 1.0),
        )
    )
    assert "image size 21.3 0.001 sad: 90 % have image size [9] (others: 10 %)" in text
    assert "nearly the same as image size" in text
    assert "brightness 3.0 0.400 –" in text
    assert "contrast 0.0 1.000 –" in text, "chance explains nothing"
    assert "No confound" not in text
    assert "over" not in text


@pytest.mark.parametrize(("share", "p"), [(0.3, 0.06), (0.009, 0.001)])
def test_what_is_not_significant_or_weak_is_none(share, p):
    text = printed(report(confound("image size", share, p)))
    assert "No confound: no feature that varies explains 1 % or more" in text


def test_what_was_not_measured_has_a_sentence():
    assert printed(report(reason="Confounds were not looked for: no image has a label.")) == (
        "Confounds were not looked for: no image has a label."
    )


def test_what_is_left_out_is_named():
    text = printed(
        report(confound("colour", 0.2, 0.01), constant=["image size", "detections"], spelt=["source folder"])
    )
    assert "The same in all images, or rare values alone: image size, detections." in text
    assert "The source folder has one value for each class" in text


def test_one_group_is_explained_where_a_fact_shown_rests_on_it():
    one = confound("name prefix", 0.2, 0.01)
    alone = one.model_copy(update={"fact": one.fact.model_copy(update={"groups": 1})})
    assert "one group: the fact rests on one group alone, and p does not test it" in printed(
        report(alone, groups=12)
    )
    assert "one group" not in printed(report(one, groups=12))
    weak = alone.model_copy(update={"p": 0.5})
    assert "one group" not in printed(report(weak, groups=12)), "the fact is not shown"


def test_groups_are_stated():
    assert "permutation test over 1,234 groups" in printed(report(confound("colour", 0.2, 0.01), groups=1234))

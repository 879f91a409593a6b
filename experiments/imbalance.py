"""What weights, losses, samplings and blends do for rare classes: `results/fer2013-imbalance.md`.

The perceptron on FER2013's landmarks, where disgust has 436 training images and happy 7,215. Runs that are
finished are not trained again, and one that was cut off goes on. The cache is made once, before:

    landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3
    python experiments/imbalance.py
"""

from _table import Experiment, Table, table_command

from landmarkfer.config.train import LossSettings, SamplingSettings
from landmarkfer.reporting.results_page import LOWEST_RECALL, Column, Contrast

LOSS, SAMPLING = LossSettings(), SamplingSettings()
MIXUP = 0.2
PLAIN = "plain"
CHANGES: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "weights-inverse": ("loss.class_weights=inverse",),
    "weights-sqrt-inverse": ("loss.class_weights=sqrt_inverse",),
    "weights-effective": ("loss.class_weights=effective",),
    "focal": ("loss.name=focal",),
    "logit-adjustment": ("loss.logit_adjustment=1.0",),
    "oversample": ("sampling.name=oversample",),
    "balanced": ("sampling.name=balanced",),
    "adaptive": ("sampling.name=adaptive",),
    "mixup": (f"mixing.mixup={MIXUP}",),
}

TABLE = Table(
    name="fer2013-imbalance",
    runs="fer2013-imbalance",
    title="Rare classes: losses, sampling and mixing on FER2013's landmarks",
    introduction=(
        "The perceptron of `experiments/recipes/fer2013-mlp.toml`, with one thing changed in each row: the "
        "class weights, the loss, how often images are drawn, or blends of faces. Everything else is the "
        "same, the choice of the epoch by validation accuracy too. "
        f"`weights-effective` has beta {LOSS.beta:g}; `focal` gamma {LOSS.gamma:g} and alpha {LOSS.alpha:g}; "
        f"`adaptive` draws the {SAMPLING.k} classes of lowest validation F1 {SAMPLING.factor:g} times as "
        f"often; `mixup` blends landmarks, lambda from Beta({MIXUP:g}, {MIXUP:g}). An epoch of "
        "`oversample` has more steps, since it repeats images; the other epochs are of equal length."
    ),
    commands=[
        "landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3",
        "python experiments/imbalance.py",
    ],
    experiments=[Experiment(name, "fer2013-mlp", changes) for name, changes in CHANGES.items()],
    columns=[
        Column("accuracy, all test", "test", "accuracy"),
        Column("detected", "test_detected", "accuracy"),
        Column("clean", "clean", "accuracy"),
        Column("macro-F1", "test", "macro_f1"),
        Column("mean recall", "test", "balanced_accuracy"),
        Column("recall of disgust", "test", "recall_disgust"),
        Column("lowest recall", "test", LOWEST_RECALL),
        Column("ECE", "test", "ece"),
        Column("training, min", "run", "train_seconds", "minutes"),
        Column("parameters", "run", "parameters", "count"),
    ],
    contrasts=[
        Contrast(f"{heading}: {name}", name, PLAIN, metric=metric)
        for metric, heading in (("macro_f1", "macro-F1"), ("accuracy", "accuracy"))
        for name in CHANGES
        if name != PLAIN
    ],
)

main = table_command(TABLE)

if __name__ == "__main__":
    main()

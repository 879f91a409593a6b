"""Train a graph network on a landmark cache, and evaluate it on the test images.

    python examples/train_and_evaluate.py [OUT]

Three epochs on a hundred synthetic faces show the steps; they say nothing about accuracy on people.
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import landmarkfer as lf
from landmarkfer.data.synthetic import write_dataset


def main(out: Path) -> None:
    """Extract, train and evaluate."""
    write_dataset(out / "photos", per_class=16)
    cache = lf.extract(out / "photos", out / "cache", workers=1)

    # Every setting of a recipe can be given by its dotted key.
    settings = {"model.widths": [32, 32], "augment.jitter": 0.1}
    run = lf.train(
        model="gnn", cache=cache, epochs=3, batch_size=16, seed=0, settings=settings, out=out / "runs"
    )
    print(run)

    evaluation = lf.evaluate(run)  # also writes metrics.json, predictions.parquet and pictures
    print(evaluation)
    test = evaluation.subsets["test"]
    low, high = test.intervals["accuracy"]
    print(f"accuracy {test.accuracy:.1%}, 95 % interval {low:.1%} to {high:.1%}")
    for name, scores in test.per_class.items():
        print(f"{name:9} recall {scores.recall:.0%} of {scores.support}")
    print(f"pictures: {run.path / 'confusion.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="landmarkfer-")))

"""Cross-validate and tune an expression classifier as any classifier of scikit-learn.

    python examples/scikit_learn.py

Landmarks come from anywhere; here they are those of synthetic faces, so that no detector is needed.
"""

import numpy as np
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split

from landmarkfer.data.synthetic import make_faces
from landmarkfer.estimator import ExpressionClassifier


def main(n: int = 140) -> None:
    """Score by cross-validation, choose a learning rate, and report the test faces."""
    faces = list(make_faces(n, size=64))
    # [N, 478, 3] in pixels; these faces have no depth.
    landmarks = np.stack([np.pad(face.landmarks, ((0, 0), (0, 1))) for face in faces])
    labels = np.array([face.label for face in faces])
    x, x_test, y, y_test = train_test_split(landmarks, labels, stratify=labels, random_state=0)

    # Whitening is for thousands of faces; displacements do for a hundred.
    settings = {"model.hidden": [64], "model.features": "displacement"}
    classifier = ExpressionClassifier("mlp", epochs=10, batch_size=16, settings=settings, random_state=0)
    scores = cross_val_score(classifier, x, y, cv=3)
    print(f"accuracy over 3 folds: {scores.mean():.1%}, SD {scores.std(ddof=1):.1%}")

    search = GridSearchCV(classifier, {"lr": [0.002, 0.01]}, cv=2).fit(x, y)
    print(f"best learning rate: {search.best_params_['lr']}")
    print(classification_report(y_test, search.predict(x_test), zero_division=0))
    print(f"most probable: {search.predict_proba(x_test).max(axis=1).mean():.0%} on average")


if __name__ == "__main__":
    main()

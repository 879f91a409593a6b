"""Predict photos with a trained run, and draw what was predicted.

python examples/predict_photos.py                     # trains a small run on synthetic faces first
python examples/predict_photos.py RUN PHOTOS OUT      # a run of yours on a folder, a .zip or a pattern
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import landmarkfer as lf
from landmarkfer.data.synthetic import make_face, make_faceless, write_dataset


def small_run(out: Path) -> lf.RunFolder:
    """A run that is trained in seconds."""
    write_dataset(out / "photos", per_class=16)
    cache = lf.extract(out / "photos", out / "cache", workers=1)
    return lf.train("mlp", cache, epochs=10, batch_size=16, out=out / "runs")


def predict(run: lf.RunFolder | str, photos: object, out: Path) -> lf.Faces:
    """Predict, print and save."""
    model = lf.load(run)
    faces = model.predict(photos, least_confidence=0.3)
    print(model, faces, sep="\n")
    print(faces.to_frame()[["source", "status", "label", "confidence", "yaw", "set"]].to_string())
    faces.plot().savefig(out / "faces.png")
    faces.save(out / "predictions")
    print(f"table and annotated images: {out / 'predictions'}; picture: {out / 'faces.png'}")
    return faces


if __name__ == "__main__":
    if len(sys.argv) == 4:
        Path(sys.argv[3]).mkdir(parents=True, exist_ok=True)
        predict(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    else:
        out = Path(sys.argv[1] if len(sys.argv) == 2 else mkdtemp(prefix="landmarkfer-"))
        # Paths, folders, arrays and pictures may stand in one list; no face, no label.
        given = [out / "photos" / "test" / "happy", make_face("surprise", 999).image, make_faceless()]
        predict(small_run(out), given, out)

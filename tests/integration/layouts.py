"""Public data sets in miniature: trees, names and columns as they are passed on, with small images."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def picture(number: int, suffix: str = ".jpg") -> bytes:
    """An image file of noise; always another one."""
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, Image.registered_extensions()[suffix.lower()])
    return file.getvalue()


def put(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(number, path.suffix))


def pixels(number: int) -> str:
    return " ".join(map(str, np.random.default_rng(number).integers(0, 256, 48 * 48)))


def write(path: Path, rows: list[list[object]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def fer2013_zip(root: Path) -> None:
    with zipfile.ZipFile(root / "fer2013.zip", "w") as archive:
        for number, name in enumerate(FER2013):
            for i in range(3):
                archive.writestr(f"train/{name}/Training_{10 * number + i}.jpg", picture(10 * number + i))
            archive.writestr(f"test/{name}/PublicTest_{number}.jpg", picture(100 + number))
            archive.writestr(f"test/{name}/PrivateTest_{number}.jpg", picture(200 + number))


def fer2013_folders(root: Path) -> None:
    for number, name in enumerate(FER2013):
        for split, count in (("train", 3), ("validation", 1)):
            for i in range(count):
                put(
                    root / f"images/{split}/{name}/{100 * number + 10 * count + i}.jpg",
                    100 * number + 10 * count + i,
                )


def _usages() -> list[tuple[int, str, str]]:
    usages = ("Training", "Training", "PublicTest", "PrivateTest")
    return [(e, pixels(10 * e + i), usage) for e in range(7) for i, usage in enumerate(usages)]


def fer2013_csv(root: Path) -> None:
    write(root / "fer2013.csv", [["emotion", "pixels", "Usage"], *map(list, _usages())])


def icml_csv(root: Path) -> None:
    rows = [[emotion, usage, values] for emotion, values, usage in _usages()]
    write(root / "icml_face_data.csv", [["emotion", " Usage", " pixels"], *rows])


def fer2013_parquet(root: Path) -> None:
    names = {"names": list(FER2013), "_type": "ClassLabel"}
    features = {"image": {"_type": "Image"}, "label": names}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    (root / "fer2013-hub/data").mkdir(parents=True)
    for split, count in (("train", 3), ("test", 1)):
        images = [
            {"bytes": picture(100 * label + 10 * count + i), "path": f"{i}.jpg"}
            for label in range(7)
            for i in range(count)
        ]
        labels = [label for label in range(7) for _ in range(count)]
        table = pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata)
        pq.write_table(table, root / f"fer2013-hub/data/{split}-00000-of-00001.parquet")


_FERPLUS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)


def _votes(number: int) -> list[int]:
    """Most images have a majority; one is contempt, one is unknown, one is no face, one is undecided."""
    votes = [0] * 10
    if number == 1:
        votes[7], votes[0] = 7, 3
    elif number == 2:
        votes[8], votes[0] = 8, 2
    elif number == 3:
        votes[9] = 10
    elif number == 4:
        votes[:4] = [3, 3, 2, 2]
    else:
        votes[number % 7], votes[(number + 1) % 7] = 8, 2
    return votes


def _ferplus_rows(names: list[str], usages: list[str]) -> list[list[object]]:
    rows = [[usage, name, *_votes(n)] for n, (name, usage) in enumerate(zip(names, usages, strict=True))]
    return [["Usage", "Image name", *_FERPLUS], *rows]


def ferplus_csv(root: Path) -> None:
    fer2013_csv(root)
    usages = [usage for _, _, usage in _usages()]
    names = [f"fer{n:07d}.png" if n != 3 else "" for n in range(len(usages))]
    write(root / "fer2013new.csv", _ferplus_rows(names, usages))


def ferplus_folders(root: Path) -> None:
    folders = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
    usages = [usage for _, _, usage in _usages()]
    names = [f"fer{n:07d}.png" if n != 3 else "" for n in range(len(usages))]
    for number, (name, usage) in enumerate(zip(names, usages, strict=True)):
        if name:
            put(root / "ferplus" / folders[usage] / name, number)
    write(root / "fer2013new.csv", _ferplus_rows(names, usages))


def rafdb_official(root: Path) -> None:
    lines = []
    for number in range(1, 8):
        for split, i in (("train", 0), ("train", 1), ("test", 0)):
            name = f"{split}_{10 * number + i:05d}"
            put(root / f"basic/Image/aligned/{name}_aligned.jpg", 100 * number + i + 50 * (split == "test"))
            lines.append(f"{name}.jpg {number}")
    (root / "basic/EmoLabel").mkdir()
    (root / "basic/EmoLabel/list_patition_label.txt").write_text("\n".join(lines) + "\n")


def rafdb_kaggle(root: Path) -> None:
    for number in range(1, 8):
        for split, count in (("train", 2), ("test", 1)):
            for i in range(count):
                name = f"{split}_{10 * number + i:05d}_aligned.jpg"
                put(root / f"rafdb/DATASET/{split}/{number}/{name}", 100 * number + i + 50 * (count == 1))
    names = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    lines = [f"{number},{name}" for number, name in enumerate(names, start=1)]
    (root / "rafdb-names.csv").write_text("\n".join(lines) + "\n")


def affectnet_table(root: Path) -> None:
    header = ["subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"]
    header += ["facial_landmarks", "expression", "valence", "arousal"]
    rows: list[list[object]] = []
    for number in range(10):
        for i in range(2):
            name = f"{10 + i}/{number:04d}{i}.jpg"
            put(root / "Manually_Annotated_Images" / name, 10 * number + i)
            rows.append([name, 1, 1, 14, 14, "1;2", number, 0.1, 0.2])
    write(root / "training.csv", [header, *rows])


def affectnet_npy(root: Path) -> None:
    for split, count in (("train_set", 2), ("val_set", 1)):
        for number in range(8):
            for i in range(count):
                stem = f"{10 * number + i + 100 * (count == 1)}"
                put(root / f"affectnet/{split}/images/{stem}.jpg", int(stem))
                folder = root / f"affectnet/{split}/annotations"
                folder.mkdir(parents=True, exist_ok=True)
                np.save(folder / f"{stem}_exp.npy", np.array(str(number)))
                np.save(folder / f"{stem}_val.npy", np.array("0.5"))


def affectnet_folders(root: Path) -> None:
    names = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
    for number, name in enumerate(names):
        for split, count in (("train", 2), ("val", 1)):
            for i in range(count):
                put(
                    root / f"affectnet/{split}/{number}_{name}/image{10 * number + i:07d}.jpg",
                    10 * number + i,
                )


def ckplus_official(root: Path) -> None:
    for number in range(1, 8):
        sequence = f"S{number:03d}/001"
        for frame in range(1, 4):
            put(
                root / f"ck+/cohn-kanade-images/{sequence}/S{number:03d}_001_{frame:08d}.png",
                10 * number + frame,
            )
        folder = root / f"ck+/Emotion/{sequence}"
        folder.mkdir(parents=True)
        (folder / f"S{number:03d}_001_{3:08d}_emotion.txt").write_text(f"   {number:.7e}\n")


def ckplus_folders(root: Path) -> None:
    names = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    for number, name in enumerate(names):
        for person in range(3):
            put(root / f"CK+48/{name}/S{10 * number + person:03d}_002_{16:08d}.png", 10 * number + person)


def jaffe(root: Path) -> None:
    for person, initials in enumerate(("KA", "KL", "YM")):
        for number, code in enumerate(("AN", "DI", "FE", "HA", "NE", "SA", "SU")):
            put(root / f"jaffe/{initials}.{code}1.{100 * person + number}.tiff", 10 * person + number)


def kdef(root: Path) -> None:
    for person in ("AF01", "BF01", "AM02"):
        for number, code in enumerate(("AF", "AN", "DI", "HA", "NE", "SA", "SU")):
            put(root / f"KDEF/{person}/{person}{code}S.JPG", number + 10 * sum(person.encode()))


def expw(root: Path) -> None:
    lines = []
    for number in range(7):
        name = f"{number}_photo.jpg"
        put(root / "expw/origin" / name, number)
        for face in range(2 if number == 3 else 1):
            lines.append(f"{name} {face} {1 + face} {1 + face} {14 + face} {14 + face} 90.5 {number}")
    (root / "expw/label.lst").write_text("\n".join(lines) + "\n")


def sfew(root: Path) -> None:
    names = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
    for number, name in enumerate(names):
        for split, count in (("Train_Aligned_Faces", 2), ("Val_Aligned_Faces", 1)):
            for i in range(count):
                put(root / f"sfew/{split}/{name}/Film_{number}{i}{count}.png", 100 * count + 10 * number + i)
    put(root / "sfew/Test_Aligned_Faces/Film_990.png", 990)


def oulu_casia(root: Path) -> None:
    names = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
    for person in range(1, 4):
        for number, name in enumerate(names):
            for frame in range(2):
                path = f"oulu/B_OriginalImg/NI/Strong/P{person:03d}/{name}/{frame:03d}.jpeg"
                put(root / path, 100 * person + 10 * number + frame)


def saved_dataset(root: Path) -> None:
    """What `datasets.DatasetDict.save_to_disk` writes, as far as images and labels go."""
    metadata = {
        "huggingface": json.dumps(
            {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["happy", "sad"]}}}}
        )
    }
    for split, count in (("train", 4), ("test", 2)):
        folder = root / "saved" / split
        folder.mkdir(parents=True)
        images = [{"bytes": picture(n + 10 * count), "path": None} for n in range(count)]
        table = pa.table({"image": images, "label": [n % 2 for n in range(count)]})
        table = table.replace_schema_metadata(metadata)
        with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file:
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        (folder / "state.json").write_text("{}")
    (root / "saved/dataset_dict.json").write_text('{"splits": ["train", "test"]}')


def table_of_people(root: Path) -> None:
    rows = []
    for person in ("Ada", "Bo", "Cy"):
        for number, label in enumerate(("happiness", "neutral")):
            name = f"{person}_{number:04d}.jpg"
            put(root / "photos" / name, number + 10 * len(rows))
            rows.append([name, label, person])
    table = pd.DataFrame(rows, columns=["image", "emotion", "person"])
    table.to_csv(root / "labels.csv", index=False)


def numpy_arrays(root: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 6), ("test", 3)):
        arrays[f"x_{split}"] = rng.random((count, 16, 16, 1)).astype(np.float32)
        arrays[f"y_{split}"] = np.array(["happy", "sad", "fear"] * (count // 3))
    np.savez(root / "faces.npz", **arrays)


LAYOUTS: dict[str, Callable[[Path], None]] = {
    name: function
    for name, function in globals().items()
    if callable(function) and getattr(function, "__module__", None) == __name__ and not name.startswith("_")
    if name not in ("picture", "put", "pixels", "write")
}

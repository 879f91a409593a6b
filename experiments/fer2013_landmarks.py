r"""Train, evaluate and tabulate the landmark models on FER2013: `experiments/results/fer2013-landmarks.md`.

Runs that are finished are not trained again, and one that was cut off goes on, so the command can be repeated
until all is there. The cache is made once, before:

    landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3
    python experiments/fer2013_landmarks.py
"""

from _table import Experiment, Table, table_command

from landmarkfer.evaluation.pages import Contrast, Published

TABLE = Table(
    name="fer2013-landmarks",
    runs="fer2013",
    title="Landmarks alone on FER2013",
    introduction=(
        "FER2013 as `train/<class>`, `test/<class>` (28,709 and 7,178 images of 48 x 48 pixels). Landmarks "
        "are the mean of three MediaPipe Face Mesh detections. A tenth of the training images, no "
        "pixel-identical ones apart, validates and chooses the epoch; the test images were predicted once "
        "per run, with the prediction for the mirrored face averaged in."
    ),
    commands=[
        "landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3",
        "python experiments/fer2013_landmarks.py",
    ],
    experiments=[
        Experiment("mlp", "fer2013-mlp"),
        Experiment("gnn-tesselation", "fer2013-gnn"),
        Experiment("gnn-anatomical", "fer2013-gnn", ("model.graph=anatomical",)),
        Experiment("gnn-knn", "fer2013-gnn", ("model.graph=knn",)),
        Experiment("gnn-hybrid", "fer2013-gnn", ("model.graph=hybrid",)),
        Experiment("gnn-gcn", "fer2013-gnn", ("model.conv=gcn",)),
        Experiment("gnn-mean-readout", "fer2013-gnn", ("model.readout=mean",)),
        Experiment("gnn-region-readout", "fer2013-gnn", ("model.readout=region",)),
        Experiment("gnn-no-identity", "fer2013-gnn", ("model.identity=0",)),
        Experiment("gnn-mean-no-identity", "fer2013-gnn", ("model.readout=mean", "model.identity=0")),
    ],
    contrasts=[
        Contrast("node-wise read-out instead of the mean", "gnn-tesselation", "gnn-mean-readout"),
        Contrast("node-wise read-out instead of regions", "gnn-tesselation", "gnn-region-readout"),
        Contrast("identity embedding, node-wise read-out", "gnn-tesselation", "gnn-no-identity"),
        Contrast("identity embedding, mean read-out", "gnn-mean-readout", "gnn-mean-no-identity"),
        Contrast("sage instead of gcn", "gnn-tesselation", "gnn-gcn"),
        Contrast("tesselation instead of anatomical", "gnn-tesselation", "gnn-anatomical"),
        Contrast("knn instead of anatomical", "gnn-knn", "gnn-anatomical"),
        Contrast("hybrid instead of anatomical", "gnn-hybrid", "gnn-anatomical"),
        Contrast("gnn on the tesselation instead of the mlp", "gnn-tesselation", "mlp"),
    ],
    published=[
        Published(
            "published MLP",
            "1434-512-256-7 on landmarks, about 850 K parameters",
            {"test.accuracy": 0.452},
            model="mlp",
            beside="mlp",
        ),
        Published(
            "published GCN",
            "157 anatomical edges, 128-256-384-256-128, mean pool, 537 K parameters",
            {"test.accuracy": 0.506},
            model="gnn",
            graph="anatomical",
            beside="gnn-anatomical",
        ),
    ],
)

main = table_command(TABLE)

if __name__ == "__main__":
    main()

r"""Train, evaluate and tabulate the landmark models on FER2013: `experiments/results/fer2013-landmarks.md`.

Runs that are finished are not trained again, and one that was cut off goes on, so the command can be repeated
until all is there. The cache is made once, before:

    landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3
    python experiments/fer2013_landmarks.py
"""

from _table import Experiment, Table, table_command

from landmarkfer.evaluation.pages import Contrast, Published

# The graph network before landmarks were whitened; what its parts contribute was measured with it.
PLAIN = (
    "model.features=displacement",
    "model.node_width=8",
    "model.hidden=[256]",
    "model.dropout=0.4",
    "model.readout_dropout=0.4",
    "loss.class_weights=none",
    "augment.jitter=0.05",
    "augment.shape_jitter=0.0",
    "fit.epochs=15",
)
PLAIN_GRAPHS: dict[str, tuple[str, ...]] = {
    "gnn-tesselation": (),
    "gnn-anatomical": ("model.graph=anatomical",),
    "gnn-knn": ("model.graph=knn",),
    "gnn-hybrid": ("model.graph=hybrid",),
    "gnn-gcn": ("model.conv=gcn",),
    "gnn-mean-readout": ("model.readout=mean",),
    "gnn-region-readout": ("model.readout=region",),
    "gnn-no-identity": ("model.identity=0",),
    "gnn-mean-no-identity": ("model.readout=mean", "model.identity=0"),
}

TABLE = Table(
    name="fer2013-landmarks",
    runs="fer2013",
    title="Landmarks alone on FER2013",
    introduction=(
        "FER2013 as `train/<class>`, `test/<class>` (28,709 and 7,178 images of 48 x 48 pixels). Landmarks "
        "are the mean of three MediaPipe Face Mesh detections. A tenth of the training images, no "
        "pixel-identical ones apart, validates and chooses the epoch; the test images were predicted once "
        "per run, with the prediction for the mirrored face averaged in. `mlp-whitened` and `gnn` see "
        "whitened landmarks: what each coordinate does that the others do not foretell. All other rows see "
        "the displacement of each coordinate from the mean face, in SDs."
    ),
    commands=[
        "landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3",
        "python experiments/fer2013_landmarks.py",
    ],
    experiments=[
        Experiment("mlp-whitened", "fer2013-mlp-whitened"),
        Experiment("gnn", "fer2013-gnn"),
        Experiment("mlp", "fer2013-mlp"),
        *(Experiment(name, "fer2013-gnn", PLAIN + changes) for name, changes in PLAIN_GRAPHS.items()),
    ],
    ensembles={"mlp and gnn": ("mlp-whitened", "gnn")},
    contrasts=[
        Contrast("mlp and gnn averaged, instead of the mlp alone", "mlp and gnn", "mlp-whitened"),
        Contrast("whitened landmarks, mlp", "mlp-whitened", "mlp"),
        Contrast("whitened landmarks, mlp, no twin in training", "mlp-whitened", "mlp", subset="clean"),
        Contrast("whitened landmarks and two dense layers, gnn", "gnn", "gnn-tesselation"),
        Contrast("gnn on the tesselation instead of the mlp, whitened", "gnn", "mlp-whitened"),
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

r"""Train, evaluate and tabulate the landmark models on FER2013: `experiments/results/fer2013-landmarks.md`.

Runs that are finished are not trained again, and one that was cut off goes on, so the command can be repeated
until all is there. The cache is made once, before:

    landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3
    python experiments/fer2013_landmarks.py
"""

from _table import Experiment, Table, table_command

from landmarkfer.reporting.results_page import Contrast, Published

UNRAISED = "prediction.least_recall=0.0"
UNWEIGHTED = ("loss.class_weights=none", UNRAISED)
LANDMARKER = ("cache=fer2013-landmarker",)
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
    UNRAISED,
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

# One thing changed in the graph network on whitened landmarks, in a quarter of its epochs.
SHORT = ("fit.epochs=5", UNRAISED)
SHORT_GRAPHS: dict[str, tuple[str, ...]] = {
    "gnn-5": (),
    "gnn-5-anatomical": ("model.graph=anatomical",),
    "gnn-5-hubs": ("model.graph=regions",),
    "gnn-5-region-readout": ("model.readout=region",),
    "gnn-5-gcn": ("model.conv=gcn",),
    "gnn-5-learned": ("model.learned=3",),
    "gnn-5-displacement": ("model.features=displacement",),
    # At the cost of three blocks of 32.
    "gnn-5-wide": ("model.widths=[56]",),
    "gnn-5-deep": ("model.widths=[20, 20, 20, 20, 20, 20, 20, 20]",),
    "gnn-5-bf16": ("fit.precision=bf16-mixed",),
}
SHORT_TRANSFORMER = (
    "fit.epochs=5",
    "model.width=64",
    "model.depth=2",
    "loss.class_weights=sqrt_inverse",
)
# The same with the perceptron, in half of its epochs.
HALF = ("fit.epochs=20", UNRAISED)
HALF_MLPS: dict[str, tuple[str, ...]] = {
    "mlp-20": (),
    "mlp-20-displacement": ("model.features=displacement",),
    "mlp-20-no-noise": ("augment.shape_jitter=0.0",),
    "mlp-20-point-noise": ("augment.shape_jitter=0.0", "augment.jitter=0.01"),
    "mlp-20-mixup": ("mixing.mixup=0.2",),
    "mlp-20-ema": ("fit.ema=0.998",),
}

TABLE = Table(
    name="fer2013-landmarks",
    runs="fer2013",
    title="Landmarks alone on FER2013",
    introduction=(
        "FER2013 as `train/<class>`, `test/<class>` (28,709 and 7,178 images of 48 x 48 pixels). Landmarks "
        "are the mean of three MediaPipe Face Mesh detections. A tenth of the training images, no "
        "pixel-identical ones apart, validates and chooses the epoch; the test images were predicted once "
        "per run, with the prediction for the mirrored face averaged in. `mlp-whitened`, `mlp-distilled`, "
        "`gnn` and their variants see whitened landmarks: what each coordinate does that the others do not "
        "foretell. `mlp` and the older graph networks (`gnn-tesselation` to `gnn-mean-no-identity`) see the "
        "displacement of each coordinate from the mean face, in SDs. Classes are weighted by the inverse "
        "square root of their frequency, but not in the older rows and in those called unweighted. "
        "`mlp-distilled` learns, beside the labels, what three CNNs say of the training faces that they were "
        "not trained on; at test it sees landmarks alone. Rows with a 5 or 20 in their names train for "
        "so many epochs instead of 20 (gnn) or 40 (mlp), to tell choices apart at equal cost. Logits of "
        "classes below 45 % recall were raised on the validation images (`prediction.least_recall`), but not "
        "in the short and the older rows, nor in `gnn-learned` and those called unweighted. `mlp-landmarker` "
        "sees the landmarks of the other detector, `mlp-blendshapes` its 52 blendshapes besides, "
        "`mlp-7-passes` the mean of seven detections instead of three. The options of "
        "`mlp-20-region-dropout` and `mlp-20-symmetric` lost and were taken out after these rows were "
        "measured; commit 397aeaf is the last one that has them. ECE is that of probabilities which were not "
        "tempered (`prediction.calibrate=false`)."
    ),
    commands=[
        "landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3",
        "landmarkfer extract fer2013.zip --cache cache/fer2013-landmarker --passes 3 --detector landmarker",
        "landmarkfer extract fer2013.zip --cache cache/fer2013-7 --passes 7",
        "landmarkfer train --recipe experiments/recipes/fer2013-cnn-small.toml --folds 3 --epochs 20 "
        "--name fer2013-teacher",
        "landmarkfer evaluate fer2013-teacher-s0-fold{1,2,3}of3 --out-of-fold --out "
        "experiments/runs/fer2013-teacher",
        "python experiments/fer2013_landmarks.py",
    ],
    experiments=[
        Experiment("mlp-whitened", "fer2013-mlp-whitened"),
        Experiment("gnn", "fer2013-gnn"),
        Experiment("mlp-distilled", "fer2013-mlp-distilled"),
        Experiment("mlp-landmarker", "fer2013-mlp-whitened", LANDMARKER),
        Experiment("mlp-blendshapes", "fer2013-mlp-whitened", (*LANDMARKER, "model.blendshapes=true")),
        Experiment("mlp-unweighted", "fer2013-mlp-whitened", UNWEIGHTED),
        Experiment("gnn-learned", "fer2013-gnn", ("model.learned=3", UNRAISED)),
        Experiment("mlp-7-passes", "fer2013-mlp-whitened", ("cache=fer2013-7",)),
        Experiment("gnn-unweighted", "fer2013-gnn", UNWEIGHTED),
        *(Experiment(name, "fer2013-gnn", SHORT + changes) for name, changes in SHORT_GRAPHS.items()),
        Experiment("transformer-5", "fer2013-transformer", SHORT_TRANSFORMER),
        Experiment(
            "transformer-5-graph", "fer2013-transformer", (*SHORT_TRANSFORMER, "model.graph=tesselation")
        ),
        *(Experiment(name, "fer2013-mlp-whitened", HALF + changes) for name, changes in HALF_MLPS.items()),
        Experiment("mlp", "fer2013-mlp"),
        *(Experiment(name, "fer2013-gnn", PLAIN + changes) for name, changes in PLAIN_GRAPHS.items()),
    ],
    ensembles={
        "mlp and gnn": ("mlp-whitened", "gnn"),
        "mlp, gnn and blendshapes": ("mlp-whitened", "gnn", "mlp-blendshapes"),
        "7 passes and blendshapes": ("mlp-7-passes", "mlp-blendshapes"),
    },
    contrasts=[
        Contrast("mlp and gnn averaged, instead of the mlp alone", "mlp and gnn", "mlp-whitened"),
        Contrast("whitened landmarks, mlp", "mlp-unweighted", "mlp"),
        Contrast("whitened landmarks, mlp, no twin in training", "mlp-unweighted", "mlp", subset="clean"),
        Contrast("whitened landmarks and two dense layers, gnn", "gnn-unweighted", "gnn-tesselation"),
        Contrast("whitened landmarks, gnn, 5 epochs", "gnn-5", "gnn-5-displacement"),
        Contrast("class weights, mlp", "mlp-whitened", "mlp-unweighted"),
        Contrast("class weights, mlp, macro-F1", "mlp-whitened", "mlp-unweighted", metric="macro_f1"),
        Contrast(
            "class weights, mlp, recall of disgust", "mlp-whitened", "mlp-unweighted", metric="recall_disgust"
        ),
        Contrast("seven detections instead of three, mlp", "mlp-7-passes", "mlp-whitened"),
        Contrast("facemesh instead of landmarker, mlp", "mlp-whitened", "mlp-landmarker"),
        Contrast("blendshapes beside landmarks, mlp", "mlp-blendshapes", "mlp-landmarker"),
        Contrast("a model of blendshapes in the ensemble", "mlp, gnn and blendshapes", "mlp and gnn"),
        Contrast("what CNNs say of the training faces", "mlp-distilled", "mlp-whitened"),
        Contrast("tesselation instead of anatomical, whitened, 5 epochs", "gnn-5", "gnn-5-anatomical"),
        Contrast(
            "node-wise read-out instead of regions, whitened, 5 epochs", "gnn-5", "gnn-5-region-readout"
        ),
        Contrast("sage instead of gcn, whitened, 5 epochs", "gnn-5", "gnn-5-gcn"),
        Contrast("hubs of regions beside the tesselation, whitened, 5 epochs", "gnn-5-hubs", "gnn-5"),
        Contrast("one wide block instead of three, 5 epochs", "gnn-5-wide", "gnn-5"),
        Contrast("eight narrow blocks instead of three, 5 epochs", "gnn-5-deep", "gnn-5"),
        Contrast("half precision (bf16), 5 epochs", "gnn-5-bf16", "gnn-5"),
        Contrast("attention biased by the tesselation, 5 epochs", "transformer-5-graph", "transformer-5"),
        Contrast("whitened landmarks, mlp, 20 epochs", "mlp-20", "mlp-20-displacement"),
        Contrast("noise of whole faces instead of none, 20 epochs", "mlp-20", "mlp-20-no-noise"),
        Contrast(
            "noise of single points instead of none, 20 epochs", "mlp-20-point-noise", "mlp-20-no-noise"
        ),
        Contrast("region dropout, 20 epochs", "mlp-20-region-dropout", "mlp-20"),
        Contrast("landmark mixup, 20 epochs", "mlp-20-mixup", "mlp-20"),
        Contrast("symmetric instead of plain cross-entropy, 20 epochs", "mlp-20-symmetric", "mlp-20"),
        Contrast("averaged weights (EMA), 20 epochs", "mlp-20-ema", "mlp-20"),
        Contrast("learned edges beside the tesselation, whitened, 20 epochs", "gnn-learned", "gnn"),
        Contrast("learned edges beside the tesselation, whitened, 5 epochs", "gnn-5-learned", "gnn-5"),
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
    notes=(
        "## What the graph network goes by\n\n"
        "![What points and edges contribute to each expression](what-counts.png)\n\n"
        "`python experiments/what_counts.py fer2013-gnn-s0 --learned fer2013-gnn-5-learned-s0`; the points' "
        "share by facial region is in [what-counts.csv](what-counts.csv).\n\n"
        "## Edges that a network learns for itself\n\n"
        "![The given graph and the strongest learned edges](learned-edges.png)\n\n"
        "## How fast\n\n"
        "![Test accuracy over minutes of training](bench-time-to-accuracy.png)\n\n"
        "[bench-time-to-accuracy.md](bench-time-to-accuracy.md); a training step beside PyTorch Geometric's: "
        "[bench-gnn.md](bench-gnn.md)."
    ),
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

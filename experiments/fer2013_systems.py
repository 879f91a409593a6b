"""Train, evaluate and tabulate every system on FER2013, by its recipe: `results/fer2013-systems.md`.

Runs that are finished are not trained again, and one that was cut off goes on. The cache is made once before:

    landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3
    python experiments/fer2013_systems.py           # what two CPU cores can do
    python experiments/fer2013_systems.py --only resnet-fer,resnet18,vgg16,efficientnet-b0 --jobs 1    # a GPU
"""

from _table import Experiment, Table, table_command

from landmarkfer.reporting.results_page import Contrast, Published

# The name of a row, which is that of its recipe, and what was reported for it on FER2013.
REPORTED: dict[str, tuple[str, float | None, str]] = {
    "mlp": ("mlp", 0.452, "1434-512-256-7 on landmarks"),
    "transformer-published": ("transformer", 0.536, "FT-Transformer on landmarks, 4 layers, 8 heads"),
    "gcn-published": ("gnn", 0.506, "157 anatomical edges, 128-256-384-256-128, mean pool"),
    "cnn-focal": ("image", 0.6154, "custom CNN, focal loss, Adam"),
    "mobilenet-head": ("image", 0.4223, "MobileNetV2, ImageNet, its head alone"),
    "mobilenet": ("image", 0.5706, "MobileNetV2, ImageNet, fine-tuned"),
    "efficientnet-b0": ("image", 0.6999, "EfficientNet-B0, ImageNet, 224 px, in three stages"),
    "vit-100": ("image", 0.4114, "image transformer, ImageNet, 100 images of each class"),
    "vit-5-epochs": ("image", 0.7471, "the same, all images, five epochs"),
    "vit-adaptive": ("image", 0.7699, "the same with adaptive training"),
}
WITHOUT_FIGURE = (
    *(
        "mlp-whitened",
        "gnn",
        "transformer",
        "hog-svm",
        "landmark-svm",
        "landmark-forest",
        "landmark-boosting",
    ),
    *(
        "cnn-small",
        "resnet-fer-16",
        "resnet-fer",
        "resnet18",
        "resnet50",
        "vgg16",
        "vgg19",
        "vit",
        "vit-scratch",
    ),
)

TABLE = Table(
    name="fer2013-systems",
    runs="fer2013",
    title="Every system on FER2013",
    introduction=(
        "One recipe of `experiments/recipes/` per row, all on the same cache, split and protocol: a tenth of "
        "the training images, no pixel-identical ones apart, validates and chooses the epoch; test images "
        "were predicted once per run. Mirrored faces are averaged in, and ten crops where a recipe says so. "
        "Rows with six classes leave out the images of the seventh."
    ),
    commands=[
        "landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3",
        "python experiments/fer2013_systems.py",
    ],
    experiments=[Experiment(name, f"fer2013-{name}") for name in (*REPORTED, *WITHOUT_FIGURE)],
    published=[
        Published(f"reported {name}", text, {"test.accuracy": figure}, model=model, beside=name)
        for name, (model, figure, text) in REPORTED.items()
        if figure is not None
    ],
    contrasts=[
        Contrast("perceptron: whitened landmarks instead of displacements", "mlp-whitened", "mlp"),
        Contrast(
            "landmarks alone: support vectors instead of the perceptron", "landmark-svm", "mlp-whitened"
        ),
        Contrast(
            "whitened landmarks: the transformer instead of the perceptron", "transformer", "mlp-whitened"
        ),
        Contrast("support vectors: HOG of the pixels instead of landmarks", "hog-svm", "landmark-svm"),
        Contrast("a small CNN instead of support vectors on landmarks", "cnn-small", "landmark-svm"),
        Contrast("resnet-fer of width 16 instead of the small CNN", "resnet-fer-16", "cnn-small"),
        *(
            Contrast(f"{choice}, no twin in training", variant, base, subset="clean")
            for choice, variant, base in (
                ("support vectors instead of the perceptron", "landmark-svm", "mlp-whitened"),
                ("a small CNN instead of support vectors", "cnn-small", "landmark-svm"),
            )
        ),
    ],
    default_rows=(
        *("mlp", "mlp-whitened", "gnn", "transformer"),
        *("hog-svm", "landmark-svm", "landmark-forest", "landmark-boosting"),
        *("cnn-small", "resnet-fer-16"),
    ),
)

main = table_command(TABLE)

if __name__ == "__main__":
    main()

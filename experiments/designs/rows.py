"""The rows of the page: each design, how it is trained, and the row that it is compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import networks as designs
from networks import HIDDEN, GraphNetwork, Perceptron
from torch import nn
from training import Plan, Whitening

from landmarkfer.face.landmarks import N_LANDMARKS

FACEMESH, LANDMARKER = "fer2013-7", "fer2013-landmarker-7"
BOTH = (FACEMESH, LANDMARKER)


@dataclass(frozen=True)
class Design:
    """A row of the page.

    Attributes:
        text: What it is.
        make: Builds the network.
        against: The row that it is compared with.
        plan: How it is trained.
        whitening: How landmarks become features.
        caches: Whose landmarks are the features of a point, side by side.
        averaged: Whether the landmarks of the caches are averaged first.
        distilled: Whether it learns from an ensemble of perceptrons on both detectors' landmarks.
        pretrained: Whether it first learns to predict hidden landmarks.
        frontal: Whether faces are turned onto the mean face before anything else.
    """

    text: str
    make: Callable[[], nn.Module]
    against: str = ""
    plan: Plan = field(default_factory=Plan)
    whitening: Whitening = field(default_factory=Whitening)
    caches: Sequence[str] = (FACEMESH,)
    averaged: bool = False
    distilled: bool = False
    pretrained: bool = False
    frontal: bool = False


def _perceptron(*hidden: int, dropout: float = 0.5, features: int = 3) -> Callable[[], nn.Module]:
    return lambda: Perceptron(N_LANDMARKS * features, hidden, dropout)


_WIDE = _perceptron(*HIDDEN)
SECTIONS: dict[str, dict[str, Design]] = {
    "Whitening": {
        "floor-1e-3": Design("floor 1e-3, no noise", _WIDE, whitening=Whitening(1e-3, 0)),
        "floor-1e-4": Design("floor 1e-4, no noise", _WIDE, "floor-1e-3", whitening=Whitening(1e-4, 0)),
        "floor-1e-5": Design("floor 1e-5, no noise", _WIDE, "floor-1e-3", whitening=Whitening(1e-5, 0)),
        "noise-1-floor-1e-4": Design(
            "detection noise, floor 1e-4", _WIDE, "floor-1e-3", whitening=Whitening(1e-4, 1)
        ),
        "noise-1": Design("detection noise, floor 1e-5", _WIDE, "floor-1e-3"),
        "noise-3": Design("3 x detection noise, floor 1e-5", _WIDE, "noise-1", whitening=Whitening(1e-5, 3)),
        "noise-10": Design(
            "10 x detection noise, floor 1e-5", _WIDE, "noise-1", whitening=Whitening(1e-5, 10)
        ),
    },
    "Capacity and regularisation of the perceptron": {
        "mlp-512": Design("512-256", _perceptron(512, 256), "noise-10"),
        "mlp-1024": Design("1,024-256", _perceptron(1024, 256), "noise-10"),
        "mlp-4096": Design("4,096-256", _perceptron(4096, 256), "noise-10"),
        "mlp-dropout-0.3": Design("2,048-256, dropout 0.3", _perceptron(*HIDDEN, dropout=0.3), "noise-10"),
        "mlp-dropout-0.7": Design("2,048-256, dropout 0.7", _perceptron(*HIDDEN, dropout=0.7), "noise-10"),
        "mlp-24": Design("2,048-256, 24 epochs", _WIDE, "noise-10", Plan(epochs=24)),
        "mlp-24-views": Design(
            "2,048-256, random mixtures of detections, 24 epochs", _WIDE, "noise-10", Plan(24, views=True)
        ),
        "mlp-48-views": Design(
            "2,048-256, random mixtures of detections, 48 epochs", _WIDE, "noise-10", Plan(48, views=True)
        ),
        "mlp-jitter": Design("2,048-256, noise of faces 0.3", _WIDE, "noise-10", Plan(shape_jitter=0.3)),
        "mlp-views": Design("2,048-256, random mixtures of detections", _WIDE, "noise-10", Plan(views=True)),
        "mlp-frontal": Design("2,048-256, yaw and pitch taken out", _WIDE, "noise-10", frontal=True),
        "mlp-dropout-0.6": Design("2,048-256, dropout 0.6", _perceptron(*HIDDEN, dropout=0.6), "noise-10"),
        "mlp-mixup": Design("2,048-256, mixup 0.2", _WIDE, "noise-10", Plan(mixup=0.2)),
        "mlp-4096-views": Design(
            "4,096-256, random mixtures of detections", _perceptron(4096, 256), "noise-10", Plan(views=True)
        ),
        "mlp-2048-alone": Design("2,048, one dense layer", _perceptron(2048), "noise-10"),
        "mlp-smoothing": Design("2,048-256, smoothing 0.2", _WIDE, "noise-10", Plan(smoothing=0.2)),
        "mlp-decay": Design("2,048-256, weight decay 0.1", _WIDE, "noise-10", Plan(weight_decay=0.1)),
    },
    "Graph networks": {
        "sage": Design("two SAGE blocks of width 32", GraphNetwork, "noise-10"),
        "sage-1": Design("one SAGE block", lambda: GraphNetwork(blocks=1), "noise-10"),
        "sage-4": Design("four SAGE blocks", lambda: GraphNetwork(blocks=4), "noise-10"),
        "sage-skip": Design(
            "two SAGE blocks, and the landmarks beside the read-out",
            lambda: GraphNetwork(skip=True),
            "noise-10",
        ),
        "sage-no-norm": Design(
            "two SAGE blocks, no norm after the read-out", lambda: GraphNetwork(norm=False), "noise-10"
        ),
        "sage-no-norm-views": Design(
            "two SAGE blocks, no norm after the read-out, random mixtures of detections",
            lambda: GraphNetwork(norm=False),
            "noise-10",
            Plan(views=True),
        ),
        "sage-no-norm-24-views": Design(
            "the same for 24 epochs",
            lambda: GraphNetwork(norm=False),
            "mlp-24-views",
            Plan(24, views=True),
        ),
        "sage-24-views": Design(
            "two SAGE blocks, random mixtures of detections, 24 epochs",
            GraphNetwork,
            "mlp-24-views",
            Plan(24, views=True),
        ),
        "sage-beside-mlp": Design(
            "two SAGE blocks and a perceptron on the landmarks, each with its loss; random mixtures",
            lambda: designs.Pair(GraphNetwork(), Perceptron()),
            "noise-10",
            Plan(views=True),
        ),
        "mlp-beside-mlp": Design(
            "two perceptrons, each with its loss; random mixtures of detections",
            lambda: designs.Pair(Perceptron(), Perceptron()),
            "noise-10",
            Plan(views=True),
        ),
        "sage-1024": Design(
            "two SAGE blocks, dense 1,024-256", lambda: GraphNetwork(hidden=(1024, 256)), "noise-10"
        ),
        "sage-dropout-0.6": Design(
            "two SAGE blocks, dropout 0.6", lambda: GraphNetwork(dropout=0.6), "noise-10"
        ),
        "sage-narrow": Design(
            "two SAGE blocks, 2 numbers a node", lambda: GraphNetwork(node_width=2), "noise-10"
        ),
        "sage-8": Design("two SAGE blocks, 8 numbers a node", lambda: GraphNetwork(node_width=8), "noise-10"),
        "gatv2": Design("two GATv2 blocks", lambda: GraphNetwork(conv="gatv2"), "noise-10"),
        "learned-edges": Design("learned edges beside the mesh", designs.LearnedEdges, "sage"),
        "learned-edges-regularised": Design(
            "learned edges of rank 32, symmetric, dropout 0.3",
            lambda: designs.LearnedEdges(rank=32, symmetric=True, edge_dropout=0.3),
            "sage",
        ),
        "locally-connected": Design(
            "own weights of each node over its 12 nearest, and the landmarks",
            designs.LocallyConnected,
            "noise-10",
        ),
        "locally-connected-alone": Design(
            "own weights of each node over its 12 nearest, alone",
            lambda: designs.LocallyConnected(skip=False, width=6),
            "noise-10",
        ),
        "regions": Design("attention over regions, and the landmarks", designs.RegionAttention, "noise-10"),
        "hierarchy": Design("three levels of the mesh, and the landmarks", designs.Hierarchy, "noise-10"),
        "spectral": Design("filters in the Laplacian's eigenbasis", designs.Spectral, "noise-10"),
        "mirror-invariant": Design(
            "invariant to mirroring, no graph", designs.MirrorInvariant, "noise-10", Plan(mirrored=False)
        ),
        "mirror-invariant-views": Design(
            "invariant to mirroring, no graph, dropout 0.7, random mixtures of detections",
            lambda: designs.MirrorInvariant(dropout=0.7),
            "noise-10",
            Plan(mirrored=False, views=True),
        ),
        "mirror-averaged": Design(
            "two SAGE blocks, averaged over mirroring in training",
            lambda: designs.MirroredGraph(GraphNetwork()),
            "sage",
            Plan(mirrored=False),
        ),
        "sage-views": Design(
            "two SAGE blocks, random mixtures of detections", GraphNetwork, "sage", Plan(views=True)
        ),
        "sage-pretrained": Design(
            "two SAGE blocks, pre-trained on hidden landmarks", GraphNetwork, "sage", pretrained=True
        ),
        "sage-distilled": Design(
            "two SAGE blocks, distilled from perceptrons on both detections",
            GraphNetwork,
            "sage",
            distilled=True,
        ),
    },
    "Both detectors": {
        "mlp-landmarker": Design("perceptron, landmarker alone", _WIDE, "noise-10", caches=(LANDMARKER,)),
        "mlp-both": Design(
            "perceptron, landmarks of both", _perceptron(*HIDDEN, features=6), "noise-10", caches=BOTH
        ),
        "mlp-mean-of-both": Design(
            "perceptron, mean of both detectors' landmarks", _WIDE, "noise-10", caches=BOTH, averaged=True
        ),
        "mlp-both-24-views": Design(
            "perceptron, landmarks of both, random mixtures of detections, 24 epochs",
            _perceptron(*HIDDEN, features=6),
            "mlp-24-views",
            Plan(24, views=True),
            caches=BOTH,
        ),
        "sage-both": Design(
            "two SAGE blocks, landmarks of both", lambda: GraphNetwork(6), "sage", caches=BOTH
        ),
    },
}
DESIGNS = {name: design for rows in SECTIONS.values() for name, design in rows.items()}

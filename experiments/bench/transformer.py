"""What a training step of the transformer costs: tokens of landmarks and of regions, with and without a bias.

    python experiments/bench/transformer.py

measures, on random faces and with the published geometry (4 layers, 8 heads, width 128),

- tokens: a token per landmark against a token per region;
- attention: what a graph bias and dropout on the attention weights add, with a token per landmark. On the CPU
  both need the weights of all pairs of tokens, and fused attention keeps none.

A step is forward, backward and AdamW. Each variant has a process of its own, whose memory is the most it held
less what it held before its first step. The processor time of a step is hardly disturbed by other work on the
machine; the wall time is. Linux only (`/proc`).
"""

import os
import statistics
import time
from pathlib import Path
from typing import Any

import click
from _bench import Rows, measure_apart, memory_mb, write_page

RESULTS = Path("experiments/results")
GEOMETRY = {"width": 128, "depth": 4, "heads": 8, "expansion": 3.75}
LANDMARKS = {"tokens": "landmarks"}
REGIONS = {"tokens": "regions"}
BIAS = {"graph": "tesselation"}
TOKENS: dict[str, dict[str, Any]] = {
    "landmark tokens": LANDMARKS,
    "region tokens": REGIONS,
    "region tokens, graph bias": REGIONS | BIAS,
}
ATTENTION: dict[str, dict[str, Any]] = {
    "fused": LANDMARKS,
    "graph bias": LANDMARKS | BIAS,
    "attention dropout": LANDMARKS | {"attention_dropout": 0.1},
}


@click.command()
@click.option("--batch", default=128, show_default=True, help="Faces of a step, for tokens.")
@click.option("--small-batch", default=16, show_default=True, help="Faces of a step, for attention.")
@click.option("--steps", default=5, show_default=True, help="Timed steps, after one more.")
@click.option("--threads", default=2, show_default=True, help="Of torch.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(batch: int, small_batch: int, steps: int, threads: int, out: Path) -> None:
    """Measure, print, and write the CSV and the report."""
    rows: Rows = []
    for bench, variants, faces in (("tokens", TOKENS, batch), ("attention", ATTENTION, small_batch)):
        for variant, keywords in variants.items():
            figures = measure_apart(measure, keywords, faces, steps, threads)
            click.echo(f"{bench}, {variant}: " + ", ".join(f"{k} {v:,.0f}" for k, v in figures.items()))
            rows += [(bench, variant, "cpu", faces, metric, value) for metric, value in figures.items()]
    write_page(
        out / "bench-transformer.csv",
        rows,
        title="Transformer: time and memory of a training step",
        introduction=(
            f"4 layers, 8 heads, width 128; {threads} threads, single precision; medians of {steps} steps. "
            "`memory mb` is the most that was held during the steps less what was held before them."
        ),
        packages=("torch", "numpy"),
    )


def measure(keywords: dict[str, Any], batch: int, steps: int, threads: int) -> dict[str, float]:
    """The median cost of a step, the memory, and the number of parameters."""
    import torch

    from landmarkfer.data.batch import FaceBatch
    from landmarkfer.face.landmarks import N_LANDMARKS
    from landmarkfer.models import build_model

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = build_model("transformer", 7, **GEOMETRY | keywords)
    faces = FaceBatch(torch.randn(batch, N_LANDMARKS, 3), torch.ones(batch, dtype=torch.bool))
    labels = torch.arange(batch) % 7
    optimiser = torch.optim.AdamW(model.parameters())
    held = memory_mb(os.getpid())
    wall, cpu = [], []
    for _ in range(steps + 1):
        start = time.perf_counter(), time.process_time()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(faces), labels).backward()
        optimiser.step()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return {
        "ms_per_step": statistics.median(wall[1:]) * 1000,
        "cpu_ms_per_step": statistics.median(cpu[1:]) * 1000,
        "memory_mb": memory_mb(os.getpid(), "VmHWM") - held,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


if __name__ == "__main__":
    main()

"""Memory of a training step by depth: a RevNet beside its like that keeps activations.

python benchmarks/reversible.py

Each point is a process of its own: what one pass forward and back takes at most beyond network and
batch, for the same network that keeps all activations, keeps few (activation checkpointing), and
computes all again (recipes.parts.reversible). Draws benchmarks/pictures/reversible.png, and prints
the table, with the seconds of a step. 6 minutes on one CPU core.

On Linux: glibc keeps parts of what is freed, more of them the more is computed. Memory is measured
with large blocks handed back at once (mallopt), as a GPU's allocator would use them again; time in
further processes without that.
"""

import ctypes
import multiprocessing
import time
from pathlib import Path
from statistics import median

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from recipes.parts.activation_checkpointing import checkpoint_activations
from recipes.parts.drawing import COLOURS, name_ends
from recipes.parts.reversible import RevNet

PICTURE = Path(__file__).parent / "pictures" / "reversible.png"
DEPTHS = (2, 4, 8, 16, 32, 64)  # blocks of two residual functions of two convolutions
BATCH, WIDTH, SIDE, STEPS = 64, 32, 32, 3
WAYS = ("kept", "checkpointed", "reversible")
M_MMAP_THRESHOLD, LARGE = -3, 2**20  # glibc's malloc.h; bytes


def network(way: str, blocks: int) -> nn.Module:
    """One stage of so many blocks, the same for all ways."""
    made = RevNet(3, 10, [WIDTH, WIDTH], blocks, keep=way != "reversible")
    return checkpoint_activations(made) if way == "checkpointed" else made


def status(name: str) -> int:
    """A value of this process's memory in bytes: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def measured(way: str, blocks: int, what: str) -> float:
    """Of a step: its memory, MiB at most, or its time, median seconds."""
    if what == "memory":
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
    torch.set_num_threads(1)
    made = network(way, blocks)
    pictures, targets = torch.randn(BATCH, 3, SIDE, SIDE), torch.arange(BATCH) % 10

    def step(count: int) -> None:
        made.zero_grad(set_to_none=False)
        F.cross_entropy(made(pictures[:count]), targets[:count]).backward()

    step(2)  # gradients are there, and what libraries keep
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the most so far
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        step(BATCH)
        times.append(time.perf_counter() - began)
    return (status("VmHWM") - before) / 2**20 if what == "memory" else median(times)


def main() -> None:
    """Measures, draws and prints."""
    cases = [(way, depth, what) for depth in DEPTHS for way in WAYS for what in ("memory", "time")]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        found = dict(zip(cases, pool.starmap(measured, cases, chunksize=1), strict=True))
    draw({case[:2]: value for case, value in found.items() if case[2] == "memory"})
    print("| blocks |", " | ".join(f"{way}, MiB | s" for way in WAYS), "|")
    print("| --- |", " --- | --- |" * len(WAYS))
    for depth in DEPTHS:
        pairs = [(found[way, depth, "memory"], found[way, depth, "time"]) for way in WAYS]
        print(f"| {depth} |", " | ".join(f"{m:,.0f} | {s:.2f}" for m, s in pairs), "|")


def draw(memory: dict[tuple[str, int], float]) -> None:
    """The picture: memory by depth."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    ends = {}
    for way, colour in zip(WAYS, COLOURS, strict=False):
        values = [memory[way, depth] for depth in DEPTHS]
        axes.plot(DEPTHS, values, "o-", color=colour, markersize=4)
        ends[way] = (DEPTHS[-1], values[-1], colour)
    axes.set_xlabel("blocks")
    axes.set_ylabel("memory of a step, MiB")
    axes.set_ylim(bottom=0)
    name_ends(axes, ends)
    figure.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()

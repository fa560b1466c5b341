"""Which operations of a step become faster in bfloat16 and with channels last, and which do not.

python benchmarks/op_profile.py [--steps 20]

Plain loops of the MNIST student, of a ConvNet and of DCGAN, as in precision_speed.py, under torch's
profiler on one thread of a CPU: the time of each operation, without those that it calls, by its
kind, scaled to what a step takes without the profiler: Python's time is spread over the kinds.
op_profile.json keeps it. Two minutes of a core.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

import pages
from beside.comparison import is_timed, machine
from beside.fits import batches
from beside.pictures import RandomDigits
from precision_speed import BATCH, DEVICE, WARM, Plain
from recipes.parts.files import replace_file

FILE = Path(__file__).with_name("op_profile.json")
ROUNDS = 3  # of what is timed without the profiler
SETTINGS = ("float32", "bf16", "bf16, channels_last")
# Parts of an operation's name, in the order in which they are looked for, and its kind.
KINDS = {
    "batch_norm": "batch-norm",
    "adam": "optimizer",
    "optimizer": "optimizer",
    "_foreach": "optimizer",
    "conv": "products, convolutions",
    "mm": "products, convolutions",
    "linear": "products, convolutions",
    "pool": "activations, pooling",
    "relu": "activations, pooling",
    "threshold": "activations, pooling",
    "tanh": "activations, pooling",
    "sigmoid": "activations, pooling",
    "copy": "copies, casts",
    "contiguous": "copies, casts",
    "fill_": "copies, casts",
    "zero_": "copies, casts",
    "reorder": "copies, casts",
}
REST = "all else"


def kind(operation: str) -> str:
    """What an operation is, by its name in torch's profiler."""
    return next((of for part, of in KINDS.items() if part in operation.lower()), REST)


def measure(name: str, setting: str, steps: int) -> dict[str, float]:
    """Milliseconds of a step by kind.

    Args:
        name: of the networks
        setting: precision, and the order of channels
        steps: that are timed
    """
    torch.manual_seed(0)
    loop, source = Plain(name, setting), batches(RandomDigits(batch_size=BATCH[name]))

    def seconds(count: int) -> float:
        start = time.thread_time()
        for _ in range(count):
            loop.step(*next(source))
        return time.thread_time() - start

    seconds(WARM)
    median = statistics.median(seconds(steps) for _ in range(ROUNDS))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        seconds(steps)
    found: Counter[str] = Counter()
    for operation in profiler.key_averages():
        found[kind(operation.key)] += operation.self_cpu_time_total
    scale = 1e3 * median / steps / found.total()
    return {of: part * scale for of, part in found.items()}


def kept() -> dict[str, dict[str, float]]:
    """Milliseconds of a step by kind, by networks and setting; of all, `machine`."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def profiled() -> list[list[str]]:
    """A row for each setting, a column for each kind."""
    kinds = [*dict.fromkeys(KINDS.values()), REST]
    rows = [["milliseconds of a step", *kinds, "together"]]
    for name, found in kept().items():
        if name != "machine":
            cells = [f"{found.get(of, 0.0):.2f}" for of in kinds]
            rows.append([name, *cells, f"{sum(found.values()):.1f}"])
    return rows


def main() -> None:
    """Measures, and writes the table."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    if DEVICE.type != "cpu":
        sys.exit("error: this is about CPUs: CUDA_VISIBLE_DEVICES= python benchmarks/op_profile.py")
    torch.set_num_threads(1)
    wanted = [(name, of) for name in BATCH for of in SETTINGS if is_timed(of)]
    wanted = [(name, of) for name, of in wanted if "MLP" not in name or "channels" not in of]
    found = {f"{name}, {of}": measure(name, of, given.steps) for name, of in tqdm(wanted)}
    replace_file(FILE, json.dumps({"machine": machine()} | found, indent=1) + "\n")
    pages.write()
    print("\n".join(f"| {' | '.join(row)} |" for row in profiled()))


if __name__ == "__main__":
    main()

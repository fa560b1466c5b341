"""LeNets on MNIST, pruned, then quantized: errors and bytes beside Han et al. 2015 and 2016.

python benchmarks/prune.py [--data_dir data/mnist] [--seeds 0 1 2] [--networks lenet300 lenet5]

Each seed trains a network (configs mnist_lenet300 and mnist_lenet5), goes on from its last weights
with `Prune` by the same config, and writes the result with integers of 8 bits by recipes.quantize.
Each is tested once, by its last state. It may be stopped and started again: prune.json keeps each
run.
"""

import argparse
import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch

from recipes.parts.files import replace_file
from recipes.quantize.__main__ import parser, quantize
from recipes.running.folders import read_facts
from recipes.seeds.result import final
from tables import finished, mean_std

FILE = Path(__file__).with_name("prune.json")
FINAL = 0.92  # share of weights that are zero
SCHEME = "static_int8"
TOLERANCE = 0.05  # of probabilities: a step of one input changes some by more than the default 0.02
PRUNE = (
    "--trainer.callbacks+=Prune",
    f"--trainer.callbacks.final={FINAL}",
    "--trainer.callbacks.end=60%",
    "--trainer.callbacks.module=network",
)


@dataclass(frozen=True)
class Paper:
    """What is published of a network.

    Attributes:
        name: of it
        errors: test errors in % before and after pruning (Han et al. 2015, table 1), and after
            quantization, too (Han et al. 2016, "Deep Compression", table 1)
        weights: before and after pruning, in thousands: Han et al. 2015
        kilobytes: before, and after pruning, quantization and Huffman coding: Han et al. 2016
    """

    name: str
    errors: tuple[float, float, float]
    weights: tuple[int, int]
    kilobytes: tuple[int, int]


PAPERS = {
    "lenet300": Paper("LeNet-300-100", (1.64, 1.59, 1.58), (267, 22), (1070, 27)),
    "lenet5": Paper("LeNet-5", (0.80, 0.77, 0.74), (431, 36), (1720, 44)),
}


def stored() -> dict[str, dict[str, dict]]:
    """What is done: of each network, by seed."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def state(folder: Path) -> dict[str, float]:
    """Test errors in %, and parameters that are not zero, of a tested run's last state."""
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    learnt = [value for name, value in saved.items() if name.startswith("network.")]
    return {
        "errors": 100 * (1 - final(folder)["test/accuracy"]),
        "weights": sum(int((value != 0).sum()) for value in learnt),
    }


def made(network: str, seed: int, data: list[str]) -> dict[str, dict]:
    """What a seed comes to: dense, pruned, and with integers of 8 bits; seconds of both fits.

    Args:
        network: a key of PAPERS
        seed: of its runs
        data: flags of the data
    """
    config, name = f"mnist_{network}", f"{network}-s{seed}"
    flags = (f"--seed_everything={seed}", *data)
    dense = finished("classify", config, name, *flags)
    start = f"--model.weights={dense}/checkpoints/last.ckpt"
    pruned = finished("classify", config, f"{name}-pruned", *flags, start, *PRUNE)
    path = pruned / f"model.{SCHEME}.onnx"
    given = [str(pruned), f"--scheme={SCHEME}", "--which=last", f"--output={path}"]
    given += [f"--tolerance={TOLERANCE}"]
    print(quantize(parser().parse_args(given), []))
    table = json.loads(path.with_suffix(".json").read_text())
    packed = gzip.compress(path.read_bytes(), 9)
    return {
        "dense": state(dense) | {"bytes": table["float32"]["bytes"]},
        "pruned": state(pruned),
        "seconds": [read_facts(folder)["seconds"] for folder in (dense, pruned)],
        "commit": read_facts(pruned)["commit"],
        SCHEME: {
            "errors": 100 * (1 - table[SCHEME]["metrics"]["test/accuracy"]),
            "bytes": path.stat().st_size,
            "packed": len(packed),
        },
    }


def table() -> list[list[str]]:
    """Rows of ours and the papers', by network: errors are mean ± std over seeds."""
    head = ["", "seeds", "error (%), dense", "error, pruned", "error, packed"]
    head += ["weights (K), dense", "weights, pruned", "KB, dense", "KB, int8", "KB, packed"]
    rows = [head]
    for network, by_seed in stored().items():
        runs, paper = list(by_seed.values()), PAPERS[network]
        if len(runs) < 2:
            continue

        def average(what: str, key: str, runs: list[dict] = runs) -> str:
            return f"{mean(run[what][key] for run in runs) / 1000:.0f}"

        errors = [
            mean_std([run[what]["errors"] for run in runs], 2)
            for what in ("dense", "pruned", SCHEME)
        ]
        weights = [average(what, "weights") for what in ("dense", "pruned")]
        sizes = [average("dense", "bytes"), average(SCHEME, "bytes"), average(SCHEME, "packed")]
        rows.append([paper.name, str(len(runs)), *errors, *weights, *sizes])
        theirs = [f"{value:.2f}" for value in paper.errors]
        counts = [str(value) for value in (*paper.weights, paper.kilobytes[0])]
        rows.append(["... the papers'", "", *theirs, *counts, "", str(paper.kilobytes[1])])
    return rows


def main() -> None:
    """Makes what is missing, and prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data_dir", type=Path, help="where MNIST's files lie")
    arguments.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    arguments.add_argument("--networks", nargs="+", choices=PAPERS, default=list(PAPERS))
    given = arguments.parse_args()
    os.environ.setdefault("WANDB_MODE", "disabled")
    data = [f"--data.data_dir={given.data_dir}"] if given.data_dir else []
    for network in given.networks:
        for seed in given.seeds:
            done = stored().get(network, {})
            if str(seed) not in done:
                every = stored() | {network: {**done, str(seed): made(network, seed, data)}}
                replace_file(FILE, json.dumps(every, indent=1) + "\n")
    for row in table():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()

"""Quantized runs: accuracy by scheme on the digits, and milliseconds of a wide network.

python benchmarks/quantize.py [--seeds 0 1 2] [--networks MLP ConvNet] [--speed]

Each seed trains a network with and without FakeQuantize, by the shipped config `digits` for 20
epochs, and `recipes.quantize` measures the schemes. A seed decides over the split, too. With
--speed, networks of random weights are timed in turn in one process, on one thread. It may be
stopped and started again: quantize.json keeps each run.
"""

import argparse
import copy
import io
import json
import os
import statistics
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.export import Dim

from recipes.export.formats import to_onnx
from recipes.parts.files import replace_file
from recipes.parts.networks import MLP
from recipes.quantize.__main__ import SCHEMES, parser, quantize
from recipes.quantize.integers import calibrated, of_integers, translations
from recipes.quantize.measuring import answers, milliseconds
from recipes.quantize.schemes import rewrite
from recipes.running.cli import main as run_recipe
from recipes.running.recipe import find_recipe
from recipes.seeds.wanted import Wanted
from tables import mean_std

FILE = Path(__file__).with_name("quantize.json")
AWARE = "FakeQuantize, then static_int8"
NETWORKS = {
    "MLP": ("--model.network=MLP", "--model.network.widths=[256,256]"),
    "ConvNet": ("--model.network=ConvNet", "--model.network.channels=[32,64]"),
}
# A ConvNet's only linear layer is its small head.
SCHEMES_OF = {"MLP": (*SCHEMES, AWARE), "ConvNet": ("static_int8", "bf16", AWARE)}
WIDTH, LAYERS, ROWS = 1024, 4, 64
ONNX = "ONNX Runtime"


def stored() -> dict[str, dict]:
    """What is done, by name."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def store(name: str, value: dict) -> None:
    """Keeps a result."""
    replace_file(FILE, json.dumps(stored() | {name: value}, indent=1) + "\n")


def trained(network: str, seed: int, aware: bool) -> Path:
    """The folder of a run, which is trained first if need be."""
    flags = (f"--seed_everything={seed}", f"--data.split_seed={seed}", *NETWORKS[network])
    flags += ("--trainer.max_epochs=20",)
    if aware:
        flags += ("--trainer.callbacks+=FakeQuantize", "--trainer.callbacks.module=network")
    name = f"quantize-{network}{'-aware' * aware}-s{seed}"
    run = Wanted("classify", name, ("--config=digits", *flags))
    if remaining := run.remaining("fit"):
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            bar = "--trainer.enable_progress_bar=false"
            run_recipe(find_recipe("classify").module, [*remaining, bar])
    return run.folder


def make(network: str, seed: int) -> None:
    """Makes what is missing of a network and a seed."""
    for scheme in SCHEMES_OF[network]:
        name = f"{network} {scheme} {seed}"
        if name in stored():
            continue
        folder = trained(network, seed, scheme == AWARE)
        kind = "static_int8" if scheme == AWARE else scheme
        given = parser().parse_args([str(folder), f"--scheme={kind}"])
        with redirect_stderr(io.StringIO()):
            print(name, quantize(given, []), sep="\n", flush=True)
        found = json.loads((folder / f"model.{kind}.json").read_text())
        store(name, {"before": found["float32"], "after": found[kind]})


def accuracies() -> list[list[str]]:
    """Test accuracy in %, before and after, and the size of the file in KB; mean ± std of seeds."""
    rows = [["network", "scheme", "seeds", "float32", "quantized", "KB before", "KB after"]]
    for network, schemes in SCHEMES_OF.items():
        for scheme in schemes:
            found = [v for k, v in stored().items() if k.startswith(f"{network} {scheme} ")]
            if len(found) < 2:
                continue
            cells = [
                mean_std([100 * run[when]["metrics"]["test/accuracy"] for run in found], 2)
                for when in ("before", "after")
            ]
            sizes = [
                f"{statistics.mean(run[when]['bytes'] for run in found) / 1000:.0f}"
                for when in ("before", "after")
            ]
            rows.append([network, scheme, str(len(found)), *cells, *sizes])
    return rows


def timed() -> dict[str, float]:
    """Milliseconds by what computes a network of WIDTH units in LAYERS hidden layers."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = MLP(WIDTH, [WIDTH] * LAYERS, 10).eval().requires_grad_(False)
    inputs = torch.randn(ROWS, WIDTH)
    made = {"float32, torch": network, "bfloat16 products, torch": in_bfloat16(network)}
    if find_spec("torchao"):
        made["dynamic int8, torchao"] = by_torchao(network)
    with TemporaryDirectory() as folder:
        plain = Path(folder, "float32.onnx")
        rows = {0: Dim("batch", min=1)}
        to_onnx(network, inputs, ["outputs"], rows).save(plain, external_data=False)
        made[f"float32, {ONNX}"] = answers(plain)
        for scheme in SCHEMES:
            path = Path(folder, f"{scheme}.onnx")
            if scheme == "static_int8":
                ranges = calibrated(network, [inputs])
                integers = of_integers(copy.deepcopy(network), ranges).eval()
                written = to_onnx(integers, inputs, ["outputs"], rows, translations())
                written.save(path, external_data=False)
            else:
                rewrite(scheme, plain, path)
            made[f"{scheme}, {ONNX}"] = answers(path)
        return dict(zip(made, milliseconds([*made.values()], inputs, 10), strict=True))


def in_bfloat16(network: torch.nn.Module) -> torch.nn.Module:
    """A copy that computes in bfloat16."""
    short = copy.deepcopy(network).bfloat16()
    short.register_forward_pre_hook(lambda module, args: args[0].bfloat16())
    return short


def by_torchao(network: torch.nn.Module) -> torch.nn.Module:
    """A copy with torchao's integers of 8 bits, whose inputs' ranges are each batch's."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    small = copy.deepcopy(network)
    quantize_(small, Int8DynamicActivationInt8WeightConfig())
    return small


def speeds() -> list[list[str]]:
    """Milliseconds of a batch, and how often it fits into those of torch's float32."""
    found = stored().get("speed", {})
    first = found.get("float32, torch")
    return [
        ["what computes", "ms", "times as fast"],
        *([name, f"{value:.1f}", f"{first / value:.2g}"] for name, value in found.items()),
    ]


def main() -> None:
    """Makes what is missing, and prints the tables."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    arguments.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments.add_argument("--speed", action="store_true", help="time the wide network")
    given = arguments.parse_args()
    os.environ.setdefault("WANDB_MODE", "disabled")
    if given.speed:
        store("speed", timed())
    for network in given.networks:
        for seed in given.seeds:
            make(network, seed)
    for rows in (accuracies(), speeds()):
        for row in rows:
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()

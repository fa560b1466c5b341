"""What a scheme makes of a run: its files, and the table of before and after."""

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from callbacks.fake_quantize.quantizers import Quantizers, Range, layers_of
from recipes.export.deployed import Deployed, facts
from recipes.export.formats import free_sizes, running, to_onnx
from recipes.export.writer import differences
from recipes.parts.files import replace_file, replacing
from recipes.quantize.integers import calibrated, folded, of_integers, translations
from recipes.quantize.loading import Loaded, Network, Predictions
from recipes.quantize.schemes import rewrite

BEFORE, RUNTIME = "float32", "ONNX Runtime"
ROUNDS, CALLS = 10, 4  # turns of each network that is timed, and calls in each


class Files:
    """A variant's files for ONNX Runtime: of the network alone, and of all the run's predictions.

    Args:
        folder: that they are in
        name: of the variant
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.network, self.whole = folder / f"{name}.network.onnx", folder / f"{name}.onnx"

    def write(self, loaded: Loaded, deployed: Deployed) -> None:
        """Writes both.

        Args:
            loaded: the run
            deployed: its predictions, by the network that is written
        """
        batch = next(iter(loaded.data.val_dataloader()))
        about = {key: json.dumps(v) for key, v in facts(deployed, str(loaded.checkpoint)).items()}
        parts = (
            (deployed.network, loaded.prepared(batch), self.network),
            (deployed, deployed.raw(batch[0]), self.whole),
        )
        with torch.no_grad():
            for program, inputs, path in parts:
                example = inputs.repeat(2, *[1] * (inputs.ndim - 1))[:2]
                names = list(program(example)) if program is deployed else ["outputs"]
                sizes = free_sizes(deployed)
                written = to_onnx(program, example, names, sizes, translations())
                written.model.metadata_props.update(about)
                written.save(path, external_data=False)


def measured(loaded: Loaded, path: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Writes a run's file and its table.

    Args:
        loaded: the run
        path: of the file; the table is beside it, as .json
        arguments: of the command

    Returns:
        the table: by variant, `bytes`, `milliseconds` by what computes, and `metrics`

    Raises:
        ValueError: if the file predicts otherwise than the network that was measured, or nothing
            can be made smaller; no file is left then
    """
    scheme, network, inputs = arguments.scheme, loaded.network, loaded.rows(arguments.rows)
    with TemporaryDirectory() as folder:
        plain, small = Files(Path(folder), BEFORE), Files(Path(folder), scheme)
        plain.write(loaded, loaded.deployed)
        before = {"bytes": plain.whole.stat().st_size, "metrics": loaded.metrics()}
        expected = None
        if scheme == "static_int8":
            ranges = ranges_of(loaded, arguments.calibration)
            expected = rounded_predictions(loaded, ranges)
            integers = of_integers(folded(network, inputs), ranges).eval()
            small.write(loaded, loaded.with_network(integers))
            loaded.with_network(network)
        else:
            rewrite(scheme, plain.network, small.network)
            rewrite(scheme, plain.whole, small.whole)
        answer = answers(small.network)
        with loaded.answered_by(answer):
            after = {"bytes": small.whole.stat().st_size, "metrics": loaded.metrics()}
            expected = expected or loaded.predictions()
        said = check(small.whole, expected, arguments.tolerance)
        runtimes = milliseconds([network, answers(plain.network), answer], inputs)
        before["milliseconds"] = dict(zip(("torch", RUNTIME), runtimes, strict=False))
        after["milliseconds"] = {RUNTIME: runtimes[-1]}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            shutil.copyfile(small.whole, partial)
    found = {BEFORE: before, scheme: after, "rows": len(inputs), "differences": said}
    replace_file(path.with_suffix(".json"), json.dumps(found, indent=1) + "\n")
    return found


def ranges_of(loaded: Loaded, batches: int) -> dict[str, Range]:
    """The ranges that a run's FakeQuantize has, or else those of training rows.

    Args:
        loaded: the run
        batches: of training rows

    Raises:
        ValueError: if the network has no layer that can hold integers
    """
    if not any(True for _ in layers_of(loaded.network)):
        raise ValueError("--scheme=static_int8: the network has no linear or convolutional layer")
    return loaded.ranges or calibrated(loaded.network, loaded.training_inputs(batches))


def rounded_predictions(loaded: Loaded, ranges: dict[str, Range]) -> Predictions:
    """A run's predictions as FakeQuantize rounds them, with their raw inputs, in batches."""
    quantizers = Quantizers(loaded.network, ranges)
    quantizers.is_rounding = True
    found = loaded.predictions()
    quantizers.remove()
    return found


def answers(path: Path) -> Network:
    """How a file of the network alone answers."""
    predict = running(path)
    return lambda inputs: predict(inputs)["outputs"]


def check(path: Path, expected: Predictions, tolerance: float) -> dict[str, float]:
    """How far a file's predictions are from what is expected, by name.

    Args:
        path: of the file
        expected: raw inputs, and the predictions of the network that was measured
        tolerance: of numbers up to 1; of larger ones it is relative to the largest

    Raises:
        ValueError: if they are further
    """
    found, sizes = differences(running(path), expected)
    if any(value > tolerance * sizes[name] for name, value in found.items()):
        said = ", ".join(f"{name} {value:.2g}" for name, value in found.items())
        line = "the file predicts otherwise than the network that was measured, by up to"
        raise ValueError(f"--tolerance={tolerance:g}: {line} {said}; nothing is written")
    return found


@torch.no_grad()
def milliseconds(networks: Sequence[Network], inputs: Tensor, rounds: int = ROUNDS) -> list[float]:
    """The median time of one call of each.

    In turn, so that a load on the machine is on all; each a few times, the first of which, with
    the weights of another network in the processor's cache, does not count.

    Args:
        networks: that are called
        inputs: of all
        rounds: turns of each
    """
    times: list[list[float]] = [[] for _ in networks]
    for _ in range(rounds):
        for network, own in zip(networks, times, strict=True):
            for call in range(CALLS):
                start = time.perf_counter()
                network(inputs)
                if call:
                    own.append(1000 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times]


def table(found: dict[str, Any]) -> str:
    """The table as text, before and after side by side.

    Args:
        found: by `measured`
    """
    variants = [name for name, value in found.items() if isinstance(value, dict)][:2]
    before, after = (found[name] for name in variants)
    rows = [["", *variants], ["KB", *(f"{v['bytes'] / 1000:.1f}" for v in (before, after))]]
    for computes in before["milliseconds"]:
        cells = [v["milliseconds"].get(computes) for v in (before, after)]
        name = f"ms of {found['rows']} rows, {computes}"
        rows.append([name, *("" if cell is None else f"{cell:.2f}" for cell in cells)])
    for name, value in before["metrics"].items():
        rows.append([name, f"{value:.4g}", f"{after['metrics'][name]:.4g}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
    said = ", ".join(f"{name} {value:.2g}" for name, value in found["differences"].items())
    return "\n".join([*lines, f"largest difference from the measured network: {said}"])

"""Draws the pictures of the pages from runs, which it makes where they are not in ./runs.

python benchmarks/page_pictures.py [NAME ...]      all by default, some 10 minutes

A picture is a function of its page's name here; it is written to benchmarks/pictures/<name>.png.
"""

import argparse
import csv
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule, Trainer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from onnxruntime import InferenceSession
from torch import nn

import finetune as finetuning
import quantize as quantizing
from datamodules import Diabetes, Digits, Grid, Iris, Ring
from recipes.classify import Classify
from recipes.compare import report
from recipes.ensemble.__main__ import METHODS
from recipes.ensemble.__main__ import main as ensemble_command
from recipes.explain.__main__ import main as explain_command
from recipes.export.__main__ import main as export_command
from recipes.folds.__main__ import main as folds_command
from recipes.parts.drawing import style
from recipes.running.commands import run_recipe
from recipes.seeds.__main__ import main as seeds_command
from tables import finished

PICTURES = Path(__file__).parent / "pictures"
BLUE, ORANGE, GREY = "#2f6db5", "#d9822b", "#8a8f98"
RATES = {"0.0001": GREY, "0.01": BLUE, "0.3": ORANGE}  # too small, the config's, too large


def panels(count: int, width: float = 9, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A row of empty panels without a box."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    axes = figure.subplots(1, count, squeeze=False)[0].tolist()
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def column(folder: Path, key: str, by: str = "epoch") -> tuple[list[float], list[float]]:
    """Epochs, or steps, and values of a key of a run's metrics."""
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    found = [row for row in rows if key in row]
    return [row[by] for row in found], [row[key] for row in found]


def distill(path: Path) -> None:
    """Accuracy of teacher, student and student alone over the epochs of the default run."""
    run = finished("distill", "digits", "page", test=False)
    shutil.copy(run / "curves.png", path)


def compare(path: Path) -> None:
    """What recipes.compare draws of distillations from 50, 100 and 200 labels, three seeds each."""
    runs = [
        finished("distill", "digits", f"labels{labels}-s{seed}", *flags, test=False)
        for labels in (50, 100, 200)
        for seed in range(3)
        for flags in [(f"--data.labelled={labels}", f"--seed_everything={seed}")]
    ]
    with tempfile.TemporaryDirectory() as folder:
        report.compare([str(run) for run in runs], "val/accuracy", Path(folder))
        shutil.copy(Path(folder, "compare.png"), path)


def seeds(path: Path) -> None:
    """What recipes.seeds draws of the diabetes network on five splits."""
    flags = ["--seeds=5", "--data.split={seed}", "--name=repeat", "--test"]
    seeds_command(["--recipe=regress", *flags])
    shutil.copy("runs/regress/repeat/compare.png", path)


def ensemble(path: Path) -> None:
    """Test errors of single runs and what recipes.ensemble makes of them, by where they start."""
    few = "--data.labelled=200"
    start = finished("classify", "digits", "start", few, "--seed_everything=9", test=False)
    starts = {"on": [f"--model.weights={start}/network.pt"], "new": []}
    figure, (panel,) = panels(1, width=8)
    for place, (name, flags) in enumerate(starts.items()):
        runs = [
            finished("classify", "digits", f"{name}-s{seed}", *given, test=False)
            for seed in range(5)
            for given in [(few, f"--seed_everything={seed}", *flags)]
        ]
        ensemble_command([*map(str, runs), f"--output={name}"])
        found = json.loads(Path(name, "ensemble.json").read_text())["test"]
        of = {key: [100 - 100 * found[key]["accuracy"]] for key in METHODS}
        of = {"single runs": [100 - 100 * found[str(run)]["accuracy"] for run in runs]} | of
        said = "from one start" if name == "on" else "each from its own start"
        for row, values in enumerate(of.values()):
            height = [-row + 0.1 - 0.2 * place] * len(values)
            label = said if not row else None
            panel.semilogx(
                values, height, "o", color=(BLUE, ORANGE)[place], alpha=0.75, label=label
            )
    panel.set_yticks(range(0, -len(of), -1), of)
    ticks = (1, 2, 5, 10, 20, 50)
    panel.set_xticks(ticks, map(str, ticks))
    panel.minorticks_off()
    panel.set_xlabel("test error, %")
    panel.legend(frameon=False, loc="center right")
    figure.savefig(path)


def folds(path: Path) -> None:
    """The default regression on five folds: RMSE of each, and every row's own prediction."""
    folds_command(["--recipe=regress", "--folds=5", "--name=folds"])
    folder = Path("runs/regress/folds")
    errors = json.loads((folder / "folds.json").read_text())["test/rmse"]
    with (folder / "out_of_fold.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure, (left, right) = panels(2)
    mean = statistics.mean(errors)
    left.axhline(mean, color=GREY, linewidth=1)
    left.annotate(f"mean {mean:.1f}", (4.1, mean), va="bottom", ha="right", color=GREY)
    for fold, error in enumerate(errors):
        left.plot(fold, error, "o", color=f"C{fold}")
        own = [row for row in rows if int(row["fold"]) == fold]
        target, found = ([float(row[key]) for row in own] for key in ("target", "prediction"))
        right.plot(target, found, "o", markersize=3, alpha=0.7, color=f"C{fold}")
    left.set(xlabel="fold", ylabel="RMSE of the fold, on the run without it", xlim=(-0.5, 4.5))
    ends = [float(end([float(row["target"]) for row in rows])) for end in (min, max)]
    right.plot(ends, ends, color=GREY, linewidth=1)
    right.set(xlabel="progression of diabetes", ylabel="prediction, out of fold")
    figure.savefig(path)


def export(path: Path) -> None:
    """How far the files of the default classifier are from the run, over the test images."""
    run = finished("classify", "digits", "exported", test=False)
    for file in ("onnx", "torch_export"):
        export_command([str(run), f"--format={file}"])
    data, module = Digits(), Classify.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    own = torch.cat([found["probability"] for found in trainer.predict(module, data)])
    images = torch.cat([inputs for inputs, *_ in data.predict_dataloader()])
    portable = torch.export.load(run / "model.pt2").module()(images)["probability"].detach()
    (onnx,) = InferenceSession(run / "model.onnx").run(["probability"], {"inputs": images.numpy()})
    figure, (panel,) = panels(1, width=7.5)
    found = {"onnx, by ONNX Runtime": torch.as_tensor(onnx), "torch_export, by torch": portable}
    for place, (label, answer) in enumerate(found.items()):
        differences = (answer - own).abs().amax(1).clamp(min=1e-9).log10()
        look = {"bins": torch.arange(-9, -3, 0.125).tolist(), "alpha": 0.7}
        panel.hist(differences.tolist(), label=label, color=(BLUE, ORANGE)[place], **look)
    panel.axvline(-4, color=GREY, linestyle="--")
    panel.annotate("refused beyond --tolerance", (-4.05, 0), (-4.05, 20), rotation=90, ha="right")
    panel.set_xticks(range(-9, -3), [f"$10^{{{power}}}$" for power in range(-9, -3)])
    panel.set(xlabel="largest difference of a picture's probabilities", ylabel="test pictures")
    panel.legend(frameon=False, loc="upper center")
    figure.savefig(path)


def finetune(path: Path) -> None:
    """Accuracy on Fashion-MNIST from few labels, of networks that know MNIST: finetune.json."""
    figure, (panel,) = panels(1, width=7.5)
    task = finetuning.TASKS["fashion"]
    for method in finetuning.METHODS:
        found = [finetuning.accuracies(task, method, labels) for labels in finetuning.LABELS]
        means, spread = ([of(each) for each in found] for of in (statistics.mean, statistics.stdev))
        is_start = method == finetuning.START
        look = {"color": GREY, "linestyle": "--"} if is_start else {"linestyle": "-"}
        look |= {"marker": "o", "capsize": 3, "label": method}
        panel.errorbar(finetuning.LABELS, means, spread, **look)
    panel.set_xscale("log")
    panel.set_xticks(finetuning.LABELS, map(str, finetuning.LABELS))
    panel.minorticks_off()
    panel.set(xlabel="labels a class", ylabel="test accuracy, %")
    panel.legend(frameon=False)
    figure.savefig(path)


def quantize(path: Path) -> None:
    """Size of the digits' files, and milliseconds of a wide network's: quantize.json."""
    figure, (left, right) = panels(2, width=10)
    _, *rows = quantizing.accuracies()
    plain = [row for row in rows if "," not in row[1]]
    for place, network in enumerate(("MLP", "ConvNet")):
        sizes = {"float32": next(row[5] for row in plain if row[0] == network)}
        sizes |= {row[1]: row[6] for row in plain if row[0] == network}
        kinds = ("float32", "bf16", "static_int8", "dynamic_int8", "int4_weight")
        shown = [kind for kind in kinds if kind in sizes]
        heights = [-kinds.index(kind) + 0.2 - 0.4 * place for kind in shown]
        color = (BLUE, ORANGE)[place]
        left.barh(heights, [int(sizes[kind]) for kind in shown], 0.36, color=color, label=network)
    left.set_yticks(range(0, -len(kinds), -1), kinds)
    left.set_xlabel("KB of the file")
    left.legend(frameon=False)
    speeds = quantizing.stored()["speed"]
    times = [speeds[f"{kind}, {quantizing.ONNX}"] for kind in kinds]
    right.barh(range(0, -len(kinds), -1), times, 0.5, color=GREY)
    right.set(yticks=[], ylim=left.get_ylim())
    right.set_xlabel("ms of 64 rows, four layers of 1024, one thread")
    figure.savefig(path)


def explain(path: Path) -> None:
    """A table's bars and beeswarm, by recipes.explain of the default regression."""
    run = finished("regress", "diabetes", "explained", test=False)
    flags = ["--method=kernel_shap", "--drawn=1", "--output=explained"]
    explain_command([str(run), *flags])
    figure, (left, right) = panels(2, width=11, height=3.6)
    for panel, name in ((left, "bars"), (right, "summary")):
        panel.imshow(imread(f"explained/{name}.png"))
        panel.set_axis_off()
    figure.savefig(path)


def explain_pictures(path: Path) -> None:
    """Heat maps of two digits by each method, by recipes.explain of the default classifier."""
    run = finished("classify", "digits", "explained", test=False)
    methods = "integrated_gradients gradient_shap kernel_shap lime feature_ablation occlusion"
    explain_command([str(run), "--method", *methods.split(), "--rows=0-1", "--output=digits"])
    shutil.copy("digits/heat.png", path)


def tune(path: Path) -> None:
    """What recipes.tune draws of twelve trials of the diabetes network."""
    command = [sys.executable, "-m", "recipes.tune", "--recipe=regress", "--trials=12", "--jobs=2"]
    subprocess.run(command, check=True)
    shutil.copy("runs/regress/tune/history.png", path)


def classify(path: Path) -> None:
    """Training loss and validation accuracy with a learning rate too small, right and too large."""
    figure, axes = panels(2)
    for rate, color in RATES.items():
        flags = f"--model.optimizer.lr={rate}", "--trainer.callbacks+=LRDecay"
        run = finished("classify", "digits", f"page-{rate}", *flags, test=False)
        for panel, key in zip(axes, ("train/loss", "val/accuracy"), strict=True):
            panel.plot(*column(run, key), color=color, label=f"learning rate {rate}", linewidth=1.6)
    axes[0].set(xlabel="epoch", ylabel="train/loss, nats", yscale="log")
    axes[1].set(xlabel="epoch", ylabel="val/accuracy", ylim=(0, 1.02))
    axes[1].legend(frameon=False, loc="lower right")
    figure.savefig(path)


def regress(path: Path) -> None:
    """Predictions of the diabetes test patients with their 90 % intervals; RMSE over epochs."""
    run = finished("regress", "diabetes", "page")
    run_recipe("regress", ["predict", f"--ckpt_path={run}/checkpoints/last.ckpt"])
    with (run / "predictions.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    rows.sort(key=lambda row: row["prediction"])
    figure, (left, right) = panels(2)
    points = [row["prediction"] for row in rows]
    half = [1.645 * row["std"] for row in rows]
    rank = list(range(len(rows)))
    left.errorbar(rank, points, half, color=BLUE, fmt=".", linewidth=0.6, markersize=3)
    left.plot(rank, [row["target"] for row in rows], ".", color=ORANGE, markersize=4)
    inside = sum(abs(r["target"] - r["prediction"]) <= 1.645 * r["std"] for r in rows)
    share = f"{inside} of {len(rows)} patients within"
    left.set(xlabel="test patients, by prediction", ylabel="progression after a year")
    left.set_title(f"prediction with 90 % interval (blue), truth (orange): {share}", fontsize=8)
    for key, color, label in (
        ("train/loss", GREY, "train/loss, of one batch"),
        ("val/loss", BLUE, "val/loss"),
    ):
        right.plot(*column(run, key), color=color, label=label, linewidth=1.6)
    right.set(xlabel="epoch", ylabel="NLL of the standardised target, nats")
    right.legend(frameon=False)
    figure.savefig(path)


def study(path: Path) -> None:
    """The picture that the default study draws of itself."""
    run = finished("study", "diabetes", "page", test=False)
    shutil.copy(run / "study.png", path)


def lesson(path: Path) -> None:
    """What the lesson on optimizers draws."""
    shutil.copy(finished("study", "lesson", "page-lesson", test=False) / "lesson.png", path)


def language(path: Path) -> None:
    """Losses of the default language model, and what it writes at the start and at the end."""
    run = finished("language", "shakespeare", "page", test=False)
    figure, (left, right) = panels(2, 11, 3.6)
    left.plot(*column(run, "train/loss", "step"), color=GREY, linewidth=0.8, label="train/loss")
    left.plot(*column(run, "val/loss", "step"), "o-", color=BLUE, label="val/loss")
    left.axhline(math.log(65), color=ORANGE, linewidth=1, label="65 characters by chance")
    left.set(xlabel="batch", ylabel="nats per character")
    left.legend(frameon=False)
    texts = sorted((run / "samples").iterdir())
    for place, file in zip((-0.04, 0.52), (texts[0], texts[-1]), strict=True):
        lines = file.read_text().strip().splitlines()[:17]
        said = "\n".join([f"after {int(file.stem):,} batches", "", *(line[:44] for line in lines)])
        right.text(place, 1, said, family="monospace", fontsize=6.8, va="top")
    right.axis("off")
    figure.savefig(path)


def em(path: Path) -> None:
    """What the components of the default run look like; iris flowers with their components."""
    digits = finished("em", "digits", "page", test=False)
    weights = torch.load(digits / "network.pt", weights_only=True)
    figure, (left, right) = panels(2, 10, 3.6)
    images = nn.functional.pad(weights["logits"].sigmoid().view(2, 5, 8, 8), (1, 1, 1, 1))
    left.imshow(images.transpose(1, 2).reshape(20, 50), cmap="gray_r", vmin=0, vmax=1)
    left.set(title="digits: probability of ink, ten components")
    left.axis("off")
    run = finished("em", "iris", "page-iris", test=False)
    mixture = torch.load(run / "network.pt", weights_only=True)
    rows = Iris(batch_size=150, standardize=False, val_size=0, test_size=0)
    right.scatter(*inputs_of(rows)[:, 2:].T, s=8, color=GREY)
    angle = torch.linspace(0, 2 * math.pi, 100, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()])
    colors = (BLUE, ORANGE, "#3b8f5a")
    for mean, matrix, color in zip(mixture["means"], mixture["covariances"], colors, strict=True):
        factor = torch.linalg.cholesky(matrix[2:, 2:].double())
        for size in (1, 2):
            right.plot(*(mean[2:, None].double() + size * factor @ circle), color=color)
    right.set(title="iris: one and two standard deviations", xlabel="length of petals, cm")
    right.set(ylabel="width of petals, cm")
    figure.savefig(path)


def feedback(path: Path) -> None:
    """Accuracy of the default run by each method, and the angles of its layers."""
    figure, axes = panels(3, 11, 3.3)
    for number, method in enumerate(("backpropagation", "alignment", "direct")):
        color = style(number)["color"]  # as in feedback_depth.png
        flag = f"--model.network.feedback={method}"
        run = finished("feedback", "digits", f"page-{method}", flag, test=False)
        axes[0].plot(*column(run, "val/accuracy"), color=color, label=method, linewidth=1.6)
        if method == "backpropagation":
            continue
        panel = axes[1 if method == "direct" else 2]
        for layer, shade in zip((1, 2, 3), (1.0, 0.6, 0.3), strict=True):
            steps, angles = column(run, f"train/angle/{layer}", "step")
            panel.plot(steps, angles, color=color, alpha=shade, linewidth=1, label=f"layer {layer}")
        panel.axhline(90, color="black", linewidth=0.8, linestyle=":")
        panel.set(title=method, xlabel="batch", ylim=(0, 100), yticks=(0, 30, 60, 90))
        panel.legend(frameon=False, loc="lower left")
    axes[0].set(title="three methods", xlabel="epoch", ylabel="val/accuracy", ylim=(0.7, 1))
    axes[0].legend(frameon=False, loc="lower right")
    axes[1].set(ylabel="angle of update and gradient, degrees")
    figure.savefig(path)


def acting(recipe: str, path: Path) -> None:
    """Returns of a default run over the environments' steps, and pictures of an episode."""
    run = finished(recipe, "cart_pole", "page", test=False)
    figure, (left, right) = panels(2, 11, 3.2)
    for key, color, label in (
        ("train/return", BLUE, "train/return, latest 100 episodes"),
        ("val/return", ORANGE, "val/return, 20 episodes"),
    ):
        left.plot(*column(run, key, "environment_steps"), color=color, label=label, linewidth=1.6)
    left.set(xlabel="environment steps", ylabel="return", ylim=(0, 520))
    left.legend(frameon=False, loc="lower right")
    strip = torch.from_numpy(imread(run / "episode.png"))
    width = (strip.shape[1] + 1) // 6
    parts = [strip[:, number * width : (number + 1) * width - 1] for number in range(6)]
    frames = nn.functional.pad(torch.stack(parts), (0, 0, 2, 2, 2, 2), value=0.8)
    right.imshow(frames.view(3, 2, *frames.shape[1:]).transpose(1, 2).flatten(2, 3).flatten(0, 1))
    right.set(title="an episode, from left to right and down", xticks=[], yticks=[])
    right.spines[:].set_visible(False)
    figure.savefig(path)


def vae(path: Path) -> None:
    """What the default run draws: samples, reconstructions, interpolations and codes."""
    run = finished("vae", "digits", "page", test=False)
    figure = Figure(figsize=(10, 8), dpi=110, layout="constrained")
    names = ("samples", "reconstructions", "between", "latent")
    for panel, name in zip(figure.subplots(2, 2).flat, names, strict=True):
        is_drawn = name == "latent"  # and not of pixels, with a title of its own
        panel.imshow(imread(run / f"{name}.png"), interpolation=None if is_drawn else "nearest")
        panel.set_title("" if is_drawn else name)
        panel.axis("off")
    figure.savefig(path)


def diffusion(path: Path) -> None:
    """What the default run draws, and how samples come out of noise."""
    run = finished("diffusion", "digits", "page", test=False)
    figure, axes = panels(2, 11, 3.6)
    for panel, name in zip(axes, ("samples", "trajectory"), strict=True):
        panel.imshow(imread(run / f"{name}.png"), interpolation="nearest")
        panel.set(title={"trajectory": "from noise to samples"}.get(name, name))
        panel.axis("off")
    figure.savefig(path)


def ring(path: Path) -> None:
    """Samples of eight modes while a GAN learns them."""
    run = finished("gan", "ring", "page", test=False)
    shutil.copy(run / "samples.png", path)


def data(path: Path) -> None:
    """Examples of the data that need no download."""
    figure, axes = panels(4, 11, 2.9)
    images = nn.functional.pad(inputs_of(Digits())[:64].reshape(8, 8, 8, 8), (1, 1, 1, 1))
    images = images.transpose(1, 2).reshape(80, 80)
    axes[0].imshow(images, cmap="gray_r")
    axes[0].set(title="Digits", xticks=[], yticks=[])
    for panel, made in ((axes[1], Ring()), (axes[2], Grid())):
        panel.scatter(*inputs_of(made)[:2000].T, s=1, color=BLUE, rasterized=True)
        panel.set(title=type(made).__name__, aspect="equal")
    rows = Diabetes(batch_size=256)
    body, target = inputs_of(rows)[:, 2], targets_of(rows)
    axes[3].scatter(body, target, s=5, color=BLUE)
    labels = {"xlabel": "body mass index", "ylabel": "progression"}
    axes[3].set(title="Diabetes, standardised", **labels)
    figure.savefig(path)


def first_batch(made: LightningDataModule) -> tuple[torch.Tensor, ...]:
    """A batch of training data."""
    made.prepare_data()
    made.setup("fit")
    return next(iter(made.train_dataloader()))


def inputs_of(made: LightningDataModule) -> torch.Tensor:
    """Inputs of the first batch of training data, float32."""
    return first_batch(made)[0].float()


def targets_of(made: LightningDataModule) -> torch.Tensor:
    """Targets of the first batch of training data."""
    return first_batch(made)[1]


DRAWN: dict[str, Callable[[Path], None]] = {
    "classify": classify,
    "compare": compare,
    "data": data,
    "distill": distill,
    "dqn": partial(acting, "dqn"),
    "em": em,
    "ensemble": ensemble,
    "explain": explain,
    "explain_pictures": explain_pictures,
    "export": export,
    "feedback": feedback,
    "finetune": finetune,
    "folds": folds,
    "language": language,
    "lesson": lesson,
    "policy_gradient": partial(acting, "policy_gradient"),
    "quantize": quantize,
    "regress": regress,
    "ring": ring,
    "seeds": seeds,
    "study": study,
    "tune": tune,
    "vae": vae,
    "diffusion": diffusion,
}


def main() -> None:
    """Runs the command."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *DRAWN], default=[])
    for name in parser.parse_args().names or DRAWN:
        DRAWN[name](PICTURES / f"{name}.png")
        print(PICTURES / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()

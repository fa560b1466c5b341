"""GAN, VAE, diffusion and rectified flow by the same measures and for the same time, on one core.

python benchmarks/generative.py [--data ring grid digits mnist fashion_mnist]
    [--methods GAN VAE DDPM flow] [--seeds 0 1 2] [--mnist_dir data/mnist]
    [--fashion_dir data/fashion-mnist]

Each method has the shipped config of its recipe, or its default with the data's, as `RUNS` says,
and trains for as many epochs as take the same time on an idle core, `EPOCHS`; no method sees a
label, and a sampler takes as many passes of the network as another. Nothing is validated or drawn
on the way. Each run is tested once: of digits all test images are compared, of MNIST and
Fashion-MNIST 2,500, with as many samples. It draws 1,000 more, whose seconds are those of the
network and the sampler alone. It may be stopped and started again: generative.json keeps each run.
By default ring, grid and digits, which need no download.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from measures import Measures
from recipes.running.cli import main as start
from recipes.running.recipe import find_recipe
from recipes.seeds.wanted import Wanted
from tables import finish, finished, mean_std

KEPT = Measures(Path(__file__).with_name("generative.json"))
SEEDS, DRAWN = [0, 1, 2], 1000
SMALL, IMAGES = ["ring", "grid", "digits"], ["digits", "mnist", "fashion_mnist"]
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
RECIPES = {"GAN": "gan", "VAE": "vae", "DDPM": "diffusion", "flow": "diffusion"}
EXTRACTORS = {"digits": "pixels", "mnist": "convnet", "fashion_mnist": "convnet"}
# Of a table's columns the metric, and the digits behind the point.
OF_IMAGES = {"kid": ("KID", 4), "fid": ("FID", 3), "precision": ("precision", 3)}
OF_IMAGES |= {"recall": ("recall", 3)}
OF_POINTS = {"modes": ("modes", 1), "high_quality": ("high quality (share)", 3)}
OF_POINTS |= {"reverse_kl": ("reverse KL (nats)", 3)}
SECONDS = {"seconds": ("s to train", 0), "sampling": ("s for 1,000 samples", 2)}

DDPM = ("--model.path=DDPM", "--model.path.prediction=v", "--model.path.schedule=cosine")
DDIM, HEUN = "--model.sampler=DDIM", "--model.sampler=Heun"
FLOW = ("--model.path=RectifiedFlow", HEUN)
# Of 25 passes, as 13 steps of Heun, the last of which is one of Euler.
SHORT = "--model.sampler.steps=13"
UNLABELLED = "--model.classes=null", "--model.network.classes=null", "--model.label_dropout=0"
POINTS = (  # for a VAE, whose configs are of images
    *("--config=digits", "--model.likelihood=Gaussian", "--model.evaluation=MixtureQuality"),
    # From a std of 1, that of the data, training ends with codes that say nothing.
    *("--model.likelihood.std=0.1", "--model.latent=2", "--data.batch_size=256"),
)
# As many as take 72 s of an idle core for points, 97 for digits, 165 for MNIST and Fashion-MNIST.
EPOCHS = {
    "ring": {"GAN": 40, "VAE": 45, "DDPM": 31, "flow": 30},
    "grid": {"GAN": 40, "VAE": 45, "DDPM": 31, "flow": 30},
    "digits": {"GAN": 100, "VAE": 1840, "DDPM": 180, "flow": 172},
    "mnist": {"GAN": 3, "VAE": 50, "DDPM": 2, "flow": 2},
    "fashion_mnist": {"GAN": 3, "VAE": 50, "DDPM": 2, "flow": 2},
}
CLASSIFIER = "--model.evaluation.checkpoint=runs/classify/{}/checkpoints/last.ckpt"
RUNS = {  # of each method's `fit` on some data
    "ring": {
        "GAN": ("--config=ring",),
        "VAE": (*POINTS, "--data=Ring"),
        "DDPM": ("--config=ring", *DDPM, DDIM),
        "flow": ("--config=ring",),
    },
    "grid": {
        "GAN": ("--config=grid",),
        "VAE": (*POINTS, "--data=Grid"),
        "DDPM": ("--config=grid", *DDPM, DDIM),
        "flow": ("--config=grid",),
    },
    "digits": {
        "GAN": ("--config=digits",),
        "VAE": ("--config=digits", "--model.evaluation=ImageQuality"),
        "DDPM": ("--config=digits", *UNLABELLED),
        "flow": ("--config=digits", *UNLABELLED, *FLOW),
    },
}
for name, made in (("mnist", "mnist_convnet"), ("fashion_mnist", "fashion_convnet")):
    checkpoint, compared_images = CLASSIFIER.format(made), "--model.evaluation.examples=2500"
    likelihood = ("--model.evaluation=ImageQuality", checkpoint, "--model.nll_samples=0")
    as_fashion = ("--data=FashionMNIST", "--data.batch_size=100") if name != "mnist" else ()
    RUNS[name] = {
        "GAN": (f"--config={name}", compared_images),
        "VAE": ("--config=mnist", *as_fashion, *likelihood, compared_images),
        "DDPM": (f"--config={name}", compared_images, *UNLABELLED),
        "flow": (f"--config={name}", compared_images, *UNLABELLED, *FLOW, SHORT),
    }
# Nothing but training is timed.
UNVALIDATED = ("--trainer.limit_val_batches=0", "--trainer.num_sanity_val_steps=0")
DRAWERS = ["Samples", "Trajectories", "LatentPictures", "Curves", "Export"]


def given(data: str, method: str) -> tuple[str, ...]:
    """The flags of a method's `fit` on some data: those of `RUNS`, as long as the budget lasts."""
    config = find_recipe(RECIPES[method]).configs[RUNS[data][method][0].removeprefix("--config=")]
    callbacks = yaml.safe_load(config.read_text())["trainer"]["callbacks"]
    undrawn = json.dumps([each for each in callbacks if each["class_path"] not in DRAWERS])
    budget = f"--trainer.max_epochs={EPOCHS[data][method]}"
    return (*RUNS[data][method], budget, f"--trainer.callbacks={undrawn}", *UNVALIDATED)


class Clock(Callback):
    """How long prediction takes, without what is written of it.

    Attributes:
        seconds: of all batches
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.start = time.perf_counter()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.seconds += time.perf_counter() - self.start


def make(data: str, method: str, seed: int, flags: list[str]) -> None:
    """Makes a run, unless it is there, and keeps its measures and seconds.

    Args:
        data: what is learned
        method: that learns it
        seed: of everything
        flags: of its data
    """
    if KEPT.has(f"{data} {method}", seed):
        return
    settings = (*given(data, method), *flags, f"--seed_everything={seed}")
    run = Wanted(RECIPES[method], f"generative-{data}-{method.lower()}-s{seed}", settings)
    finish(run)
    clock, checkpoint = Clock(), run.folder / "checkpoints/last.ckpt"
    quiet = "--trainer.enable_progress_bar=false"
    command = ["predict", f"--ckpt_path={checkpoint}", f"--count={DRAWN}", quiet]
    start(find_recipe(run.recipe).module, command, [clock])
    KEPT.add(f"{data} {method}", run, sampling=clock.seconds * 1000 / DRAWN)


def cell(found: list[dict[str, Any]], key: str, digits: int) -> str:
    """A measure over the runs."""
    return mean_std([run[key] for run in found], digits)


def compared(kind: str) -> list[list[str]]:
    """What is done, a row for each data and method, of `images` or `points`."""
    of, sets = (OF_IMAGES, IMAGES) if kind == "images" else (OF_POINTS, ["ring", "grid"])
    rows = [["data", "method", *(name for name, _ in (of | SECONDS).values()), "seeds"]]
    for data in sets:
        for method in RECIPES:
            if not (found := KEPT.stored().get(f"{data} {method}", [])):
                continue
            suffix = f"_{EXTRACTORS[data]}" if kind == "images" else ""
            cells = [cell(found, f"test/{key}{suffix}", n) for key, (_, n) in of.items()]
            # The least of the seeds: what a machine does beside only makes it more.
            least = {key: min(run[key] for run in found) for key in SECONDS}
            cells += [f"{least[key]:.{digits}f}" for key, (_, digits) in SECONDS.items()]
            rows.append([TITLES.get(data, data), method, *cells, str(len(found))])
            last = found, suffix
        if kind == "images" and rows[-1][0] == TITLES.get(data, data):
            found, suffix = last
            floors = [cell(found, f"test/{key}{suffix}_floor", n) for key, (_, n) in of.items()]
            rows.append([TITLES.get(data, data), "training images", *floors, "", "", ""])
    return rows


def main() -> None:
    """Makes what is missing, and prints the tables."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", nargs="+", choices=RUNS, default=SMALL)
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--mnist_dir", default="data/mnist", help="folder of the four .gz files")
    parser.add_argument("--fashion_dir", default="data/fashion-mnist", help="likewise")
    chosen = parser.parse_args()
    folders = {"mnist": chosen.mnist_dir, "fashion_mnist": chosen.fashion_dir}
    flags = {data: [f"--data.data_dir={folder}"] for data, folder in folders.items()}
    if "mnist" in chosen.data:
        finished("classify", "mnist_convnet", "mnist_convnet", *flags["mnist"])
    if "fashion_mnist" in chosen.data:
        own = ["--data=FashionMNIST", "--data.shift=1", *flags["fashion_mnist"]]
        finished("classify", "mnist_convnet", "fashion_convnet", *own)
    for data in chosen.data:
        for seed in chosen.seeds:
            for method in chosen.methods:
                make(data, method, seed, flags.get(data, []))
    for kind in ("points", "images"):
        for cells in compared(kind):
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

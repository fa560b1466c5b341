"""The callback that draws samples, reconstructions, interpolations, and the space of codes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.at_end import AtEnd
from callbacks.ema import shard_again
from callbacks.lengths import Length, batches
from datamodules.loading.loader import keyed_generator
from datamodules.loading.missing import is_known
from recipes.parts.drawing import COLOURS
from recipes.parts.files import replacing
from recipes.parts.networks import evaluating
from recipes.parts.noise import EVALUATION, Noise
from recipes.parts.pictures import save_grid

COLUMNS, ROWS = 10, 4  # of a picture of images
SAMPLES = 80
POINTS = 2000  # codes in the picture of their space
PICTURES = 3  # the key of the codes that samples are drawn from
MOST_CLASSES = 20  # that are told apart by colours


class Examples(NamedTuple):
    """Some of the validation data."""

    inputs: Tensor  # (n, ...)
    targets: Tensor | None  # (n, ...)


def first_examples(data: LightningDataModule, module: LightningModule) -> Examples:
    """The first examples for validation, or for training if there are none: at most `POINTS`."""
    loader = data.val_dataloader()
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    for batch in data.train_dataloader() if loader == [] else loader:
        batch = data.transfer_batch_to_device(batch, module.device, 0)
        x, *columns = data.on_after_batch_transfer(batch, 0)
        inputs.append(x)
        targets += columns[:1]
        if sum(map(len, inputs)) >= POINTS:
            break
    known = torch.cat(targets)[:POINTS] if targets else None
    return Examples(torch.cat(inputs)[:POINTS], known)


def plane(codes: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Two coordinates of each code, and what they are called.

    A code of one unit is drawn over its density's place 0; of more than two, they are the principal
    components.

    Args:
        codes: (n, latent)

    Returns:
        points (n, 2), and the names of the axes
    """
    if codes.shape[1] == 1:
        return np.hstack([codes, np.zeros_like(codes)]), ["z", ""]
    if codes.shape[1] == 2:
        return codes, ["z, first unit", "z, second unit"]
    centred = codes - codes.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    shares = sizes**2 / max((sizes**2).sum(), 1e-30)
    names = [
        f"{which} principal component, {share:.0%} of the variance"
        for which, share in zip(("first", "second"), shares, strict=False)
    ]
    return centred @ directions[:2].T, names


def draw_codes(
    codes: Tensor, targets: Tensor | None, path: Path, class_names: Sequence[str] = ()
) -> None:
    """Draws mean codes as points, coloured by class, as a PNG file.

    Args:
        codes: (n, latent)
        targets: class numbers (n,), coloured if they are at most 20; others are grey
        path: of the file
        class_names: beside the numbers, where classes have names
    """
    points, names = plane(codes.detach().cpu().double().numpy())
    figure = Figure(figsize=(6.5, 5.5), layout="constrained", dpi=100)
    axes = figure.subplots()
    is_class = targets is not None and targets.ndim == 1 and not targets.is_floating_point()
    classes = targets[is_known(targets)].unique().tolist() if is_class else []
    shown = classes if len(classes) <= MOST_CLASSES else []
    of = targets.cpu().numpy() if shown else np.zeros(len(points))
    others = points[~np.isin(of, shown)]
    axes.plot(*others.T, ".", color="0.6", markersize=4)
    for number, name in enumerate(shown):
        color = COLOURS[number % len(COLOURS)]
        # The colours come again: the class's own number tells these apart.
        style = {"marker": f"${name}$", "linestyle": "", "markersize": 6, "mew": 0.2}
        label = str(class_names[name]) if name < len(class_names) else str(name)
        axes.plot(*points[of == name].T, color=color, label=label, **style)
    if any(not label.isdigit() for label in axes.get_legend_handles_labels()[1]):
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axes.set(xlabel=names[0], ylabel=names[1], title=f"mean codes of {len(points):,} examples")
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def below_each_other(kinds: list[Tensor]) -> Tensor:
    """Images whose grid of `COLUMNS` has each kind in a row, and a grey row below the last kind.

    Args:
        kinds: of the same examples, such as originals and reconstructions, (n, ...) each
    """
    grey = torch.full_like(kinds[0][:1], 0.5)
    full = [torch.cat([kind, grey.repeat(-len(kind) % COLUMNS, 1, 1, 1)]) for kind in kinds]
    rows = zip(*(kind.split(COLUMNS) for kind in full), strict=True)
    gap = grey.repeat(COLUMNS, 1, 1, 1)
    return torch.cat([part for row in rows for part in (*row, gap)])[:-COLUMNS]


class LatentPictures(AtEnd):
    """Draws what a VAE has learnt to the run's folder, always of the same examples and codes.

    `samples.png`: images of codes from the prior. `reconstructions.png`: validation images, below
    each what the encoder saw if that is corrupted, and its reconstruction. `between.png`:
    from one validation image to another, by the codes between theirs. `latent.png`: the mean codes
    of at most 2,000 of them, coloured by class; of more than two units, their first principal
    components. Data that are no images have the last alone, and an autoencoder no samples. W&B has
    them as `pictures/<name>`. Training is left as it is, bit by bit.

    ```yaml
    - class_path: LatentPictures
      init_args: {every: 25%}
    ```

    Args:
        every: length between two drawings: batches, or in units: 1000ba (batches), 5ep (epochs),
            10% (of the run); 0: only when training ends
    """

    def __init__(self, every: Length = 0) -> None:
        self.every = every
        self.step = 0
        self.examples: Examples | None = None  # as soon as they are known

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.step = state_dict["step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interval = batches(self.every, trainer)
        self._prepare(trainer, pl_module)

    def _prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.datamodule is None:
            raise ValueError("LatentPictures looks at the examples of a datamodule: there is none")
        self.examples = first_examples(trainer.datamodule, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.step += 1
        if self.interval and self.step % self.interval == 0:
            self._draw(trainer, pl_module)

    def at_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.examples is None:  # resumed where nothing was left to train
            self._prepare(trainer, pl_module)
        self._draw(trainer, pl_module)

    @torch.no_grad()
    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the pictures in the first process; all compute, as each may hold a shard."""
        if trainer.fast_dev_run:
            return
        with evaluating(pl_module):
            codes, images = self._compute(pl_module)
        shard_again(pl_module)
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        names = getattr(trainer.datamodule, "class_names", None) or ()
        draw_codes(codes, self.examples.targets, folder / "latent.png", names)
        for name, pixels in images.items():
            save_grid(pixels, COLUMNS, folder / f"{name}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                for name in ("latent", *images):
                    # Lightning counts a row's step from 0.
                    step = trainer.global_step - 1
                    logger.log_image(f"pictures/{name}", [str(folder / f"{name}.png")], step)

    def _compute(self, module: LightningModule) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean codes of the examples, and of images each picture's pixels, (n, ...) from 0 to 1."""
        inputs = self.examples.inputs
        rows = torch.arange(len(inputs))
        noise = Noise(rows, EVALUATION, 0, inputs.device, inputs.dtype)
        x = module.observed(inputs, noise)
        seen = module.corrupted(x, noise)
        codes = module.encode(x)[0]
        if inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
            return codes, {}
        shown = [x, seen, module.sample(module.encode(seen)[0])]
        shown = shown if module.corruption else shown[::2]
        shares = torch.linspace(0, 1, COLUMNS, device=codes.device, dtype=codes.dtype)
        pairs = codes[: min(4 * ROWS, len(codes) // 2 * 2)].unflatten(0, (-1, 2, 1))
        between = torch.lerp(pairs[:, 0], pairs[:, 1], shares.view(1, -1, 1))
        found = {
            "reconstructions": below_each_other([pixels[: COLUMNS * ROWS] for pixels in shown]),
            "between": module.sample(between.flatten(0, 1)),
        }
        if module.method != "autoencoder":
            generator = keyed_generator(PICTURES)
            prior = torch.randn(SAMPLES, module.latent, generator=generator).to(codes)
            found["samples"] = module.sample(prior)
        return codes, found

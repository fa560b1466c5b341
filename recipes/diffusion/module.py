"""A network that removes noise: DDPM and rectified flow, with guidance by class."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.write_pictures import WritePictures
from datamodules.drawn import Drawn
from datamodules.loading.missing import is_known
from datamodules.loading.splits import AtLeastTwo, Share
from recipes.diffusion.checks import (
    check_arguments,
    check_drawn,
    check_guidance,
    check_network,
    note_extrapolation,
)
from recipes.diffusion.keys import DRAWN, LABELS, NOISE, ON_THE_WAY, START, TIMES
from recipes.diffusion.process import DDPM, Estimate, Path
from recipes.diffusion.samplers import DDIM, Heun, Sampler
from recipes.diffusion.samples import predict
from recipes.parts.centred import centred, uncentred
from recipes.parts.conditional import check_classes
from recipes.parts.evaluation import Evaluation
from recipes.parts.evaluation.report import begin, log_values, record, summary
from recipes.parts.groups import Groups, make_optimizer
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import full
from recipes.parts.logs import log_means, log_terms, split_of
from recipes.parts.networks import evaluating
from recipes.parts.noise import EVALUATION, Noise, global_seed, places
from recipes.parts.numbers import NonNegativeFinite
from recipes.parts.sharding import distribute


class Diffusion(LightningModule):
    """Trains a network to tell examples from noise in mixtures of both.

    Args:
        network: UNet, ResidualMLP, or any class_path: maps noisy examples (batch, ...), times
            (batch,) from 0 (data) to 1 (noise), and with classes labels (batch,), to the path's
            prediction, (batch, ...); the label `classes` means that none is given
        path: from data to noise: DDPM, RectifiedFlow, or any class_path; default: DDPM
        sampler: Ancestral or DDIM of DDPM, Euler or Heun of RectifiedFlow, or any class_path;
            default: 50 steps of DDIM, 25 of Heun
        classes: number of the data's classes, to generate by class; by default labels are not used
        label_dropout: share of training examples whose label is left out, from 0 to below 1, so
            that samples can be guided
        guidance: of samples to their class: 0: as without a label; 1: as with it; above 1: further
            in the same direction
        clip: whether samples' images are kept within [-1, 1] on the way
        evaluation: of samples, on the validation or test data: ImageQuality, MixtureQuality, or
            any class_path
        evaluation_every: epochs from one evaluation of samples to the next, which is dear; the
            last epoch of a fit always has one
        optimizer: of all weights; any class_path; default: fused Adam at 0.001
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    data_arguments: ClassVar = {"target": []}  # where the user gives none

    def __init__(
        self,
        network: nn.Module,
        path: Path | None = None,
        sampler: Sampler | None = None,
        classes: PositiveInt | None = None,
        label_dropout: Share = 0.0,
        guidance: NonNegativeFinite = 1.0,
        clip: bool = True,
        evaluation: Evaluation | None = None,
        evaluation_every: PositiveInt = 1,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, fused=True),
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network, self.path = network, path or DDPM()
        self.sampler = sampler or (DDIM() if isinstance(self.path, DDPM) else Heun())
        check_arguments(self.path, self.sampler, classes, label_dropout, guidance)
        self.classes, self.label_dropout = classes, float(label_dropout)
        self.guidance, self.clip = float(guidance), clip
        self.evaluation, self.evaluation_every = evaluation, evaluation_every
        self.optimizer, self.groups = optimizer, groups
        self.shape: tuple[int, ...] = ()  # of an example, as soon as one is known
        self.drawn: Drawn | None = None  # what predict draws in place of data
        self.label: int | None = None  # that predict draws

    def configure_model(self) -> None:
        distribute(self, network=self.network)

    def configure_optimizers(self) -> Optimizer:
        return make_optimizer(self.optimizer, self.groups, network=self.network)

    # The method.

    def losses(self, inputs: Tensor, labels: Tensor | None, noise: Noise) -> Tensor:
        """Squared error of the prediction, a mean over values, (batch,): Ho et al. 2020, eq. 14.

        Args:
            inputs: examples, (batch, ...)
            labels: (batch,), if there are classes
            noise: of these rows
        """
        x0 = full(centred(inputs))
        parts = Estimate(x0, noise.normal(x0.shape[1:], NOISE).to(x0.dtype))
        times = self.path.times(noise.uniform(TIMES, ()))
        output = self.predicted(self.path.noisy(parts, times), times, labels)
        return (output - self.path.target(parts, times)).square().flatten(1).mean(1)

    def predicted(self, x_t: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        """What the network makes of x_t (batch, ...), at least in float32."""
        given = () if labels is None else (labels,)
        return full(self.network(x_t.to(self.dtype), times, *given))

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        inputs, targets, *_ = batch
        rows = places(self.trainer, "train", batch_idx, len(inputs))
        noise = self.noise(rows, self.current_epoch)
        labels = self.labels(targets)
        if labels is not None:
            is_left_out = noise.uniform(LABELS, ()) < self.label_dropout
            labels = torch.where(is_left_out, self.classes, labels)
        loss = self.losses(inputs, labels, noise).mean()
        log_terms(self, {"train/loss": loss}, len(inputs))
        return loss

    def guided(self, x_t: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        """(1 - g) prediction without label + g prediction with it: Ho & Salimans 2022, equation 6.

        Their w is g - 1. It may be taken of any prediction, as x_t and one give the others.
        """
        if labels is None or self.guidance == 1:
            return self.predicted(x_t, times, labels)
        without = torch.full_like(labels, self.classes)
        if self.guidance == 0:
            return self.predicted(x_t, times, without)
        twice = torch.cat([x_t, x_t]), torch.cat([times, times]), torch.cat([without, labels])
        return torch.lerp(*self.predicted(*twice).chunk(2), self.guidance)

    def denoised(self, x_t: Tensor, times: Tensor, labels: Tensor | None) -> Estimate:
        """The parts of x_t (batch, ...), as the network takes them to be."""
        parts = self.path.parts(self.guided(x_t, times, labels), x_t, times)
        if self.clip and x_t.ndim == 4:
            return self.path.recomposed(parts.x0.clamp(-1, 1), x_t, times)
        return parts

    def states(
        self, noise: Noise, labels: Tensor | None = None, start: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Noise, and what each step of the sampler makes of it, (batch, ...); images in [-1, 1].

        Args:
            noise: of these rows
            labels: (batch,), if there are classes
            start: (batch, ...), by default the rows' own
        """
        x = noise.normal(self.shape, START) if start is None else start
        yield x
        denoise = partial(self.denoised, labels=labels)
        draw = partial(noise.normal, self.shape, ON_THE_WAY)
        yield from self.sampler.states(denoise, x, self.path, draw)

    @torch.no_grad()
    def sample(
        self, noise: Noise, labels: Tensor | None = None, start: Tensor | None = None
    ) -> Tensor:
        """Examples as the data have them, (batch, ...), images in [0, 1]; arguments as `states`."""
        with evaluating(self.network):
            for x in self.states(noise, labels, start):
                last = x  # a thousand states at once would not fit in memory
        return uncentred(last)

    # What is random, by (seed, epoch, row), and labels.

    def noise(self, rows: Tensor, epoch: int, seed: int | None = None) -> Noise:
        """The random numbers of rows (batch,) in an epoch; by default of the run's seed."""
        seed = global_seed() if seed is None else seed
        dtype = torch.promote_types(self.dtype, torch.float32)
        return Noise(rows, epoch, seed, self.device, dtype)

    def draw(self, count: int, key: int) -> tuple[Noise, Tensor | None]:
        """What `sample` takes for a number of examples, a pure function of the key."""
        rows = torch.arange(count)
        return self.noise(rows, DRAWN, key), self.in_turn(rows)

    def in_turn(self, rows: Tensor) -> Tensor | None:
        """One class after the other, or the one that predict was asked for, (batch,)."""
        if self.classes is None:
            return None
        labels = rows % self.classes if self.label is None else torch.full_like(rows, self.label)
        return labels.to(self.device)

    def labels(self, targets: Tensor) -> Tensor | None:
        """The labels of a batch's targets, (batch,); of a missing one `classes`."""
        return torch.where(is_known(targets), targets, self.classes) if self.classes else None

    # Evaluation.

    @property
    def evaluates(self) -> bool:
        """Whether the present validation or test is one that looks at samples."""
        trainer, epochs = self.trainer, self.current_epoch + 1
        if self.evaluation is None or trainer.state.fn != TrainerFn.FITTING:
            return self.evaluation is not None
        is_last = epochs == trainer.max_epochs or trainer.global_step == trainer.max_steps
        return trainer.sanity_checking or is_last or epochs % self.evaluation_every == 0

    def on_validation_start(self) -> None:
        begin(self, self.evaluation if self.evaluates else None)

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        inputs, targets, *_ = batch
        split = split_of(self.trainer)
        rows = places(self.trainer, split, batch_idx, len(inputs))
        labels = self.labels(targets)
        losses = self.losses(inputs, labels, self.noise(rows, EVALUATION))
        log_means(self, {f"{split}/loss": losses.mean()}, len(inputs), prog_bar=True)
        if not self.evaluates or self.trainer.sanity_checking or not self.evaluation.room:
            return
        few = slice(int(min(len(inputs), self.evaluation.room)))
        noise, given = self.noise(rows[few], EVALUATION), None if labels is None else labels[few]
        self.evaluation.update(self.sample(noise, given), inputs[few], targets[few])

    def on_validation_epoch_end(self) -> None:
        log_values(self, self.evaluation if self.evaluates else None)

    test_step, on_test_start = validation_step, on_validation_start
    on_test_epoch_end = on_validation_epoch_end

    # Prediction.

    def prepare_prediction(
        self,
        count: PositiveInt | None = None,
        interpolate: AtLeastTwo | None = None,
        steps: PositiveInt | None = None,
        guidance: NonNegativeFinite | None = None,
        label: NonNegativeInt | None = None,
    ) -> Drawn | None:
        """What is drawn: by default as many samples as there are examples in the predicted data.

        Args:
            count: samples to draw, without any data: to sample.npy, and images as PNG files to
                generated/; with interpolate, its rows
            interpolate: images in each row of interpolation.png, which lead from one noise to
                another; 8 rows, or count
            steps: of the sampler, in place of its own
            guidance: to the samples' classes, in place of the run's
            label: of all samples; by default one class after the other
        """
        if steps is not None:
            self.sampler.take(steps, self.path)
        if guidance is not None:
            check_guidance("--guidance", guidance, self.classes, self.label_dropout)
            self.guidance = float(guidance)
        check_drawn(interpolate, label, self.classes, self.sampler)
        self.label = label
        self.drawn = Drawn(count, interpolate) if count or interpolate else None
        return self.drawn

    def configure_callbacks(self) -> list[Callback]:
        return [WritePictures(self.drawn)] if self.drawn else []

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        return predict(self, batch, batch_idx)

    # Start and end of a fit, and what a checkpoint tells of the examples.

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule
        if self.drawn is not None:
            return
        if self.classes and stage != "predict":
            check_classes(data, self.classes)
        check_network(self.network, self.classes, data)
        if stage == "fit":
            note_extrapolation(self.path, getattr(data, "input_shape", ()), self.clip)
        self.shape = tuple(getattr(data, "input_shape", self.shape))

    def on_train_batch_start(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self.shape = tuple(batch[0].shape[1:])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["example_shape"] = list(self.shape)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.shape = tuple(checkpoint.get("example_shape", self.shape))

    def on_fit_end(self) -> None:
        record(self.trainer, self.evaluation)

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """The loss and how good the samples are at the end, with their floors."""
        return summary(metrics)

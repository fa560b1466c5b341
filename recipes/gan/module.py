"""A generator and a discriminator, an optimizer each, one step a batch."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.write_pictures import WritePictures
from datamodules.drawn import Drawn
from datamodules.loading.loader import keyed_generator
from datamodules.loading.splits import AtLeastTwo
from recipes.gan.checks import check_arguments, check_fit, check_networks
from recipes.gan.constraints import apply_spectral_norm
from recipes.gan.gradients import Method
from recipes.gan.losses import LOSSES, RELATIVISTIC, Name
from recipes.gan.penalties import Penalty
from recipes.gan.samples import evaluate, predict
from recipes.gan.step import generate, step
from recipes.gan.terms import refuse_closures
from recipes.parts.centred import centred, uncentred
from recipes.parts.conditional import check_classes
from recipes.parts.evaluation import Evaluation
from recipes.parts.evaluation.report import begin, log_values, record, summary
from recipes.parts.groups import Groups, make_optimizer
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import full
from recipes.parts.logs import log_terms
from recipes.parts.networks import evaluating
from recipes.parts.numbers import PositiveFinite
from recipes.parts.sharding import distribute
from recipes.parts.weights import Patterns, Start


def adam(params: Iterable[nn.Parameter]) -> Optimizer:
    """Adam with the settings of DCGAN: Radford et al. 2016, section 4."""
    return torch.optim.Adam(params, lr=2e-4, betas=(0.5, 0.999), fused=True)


class GAN(LightningModule):
    """Trains a generator against a discriminator.

    Args:
        generator: MLPGenerator, DCGANGenerator, ResNetGenerator, or any class_path: maps latents
            (batch, latent), and labels (batch,) with classes, to examples; images in [-1, 1]
        discriminator: MLPDiscriminator, DCGANDiscriminator, ResNetDiscriminator, or any class_path:
            maps examples, and labels with classes, to one unbounded number each, larger for real
        latent: values in a latent, standard normal
        classes: number of the data's classes, to generate by class; by default labels are not used
        loss: the game that the two play, of losses.py
        discriminator_steps: updates of the discriminator in a step, each on an equal share of the
            batch, which therefore has this many times the examples of an update
        pack: examples that the discriminator sees at a time (PacGAN)
        penalties: on the discriminator's gradient with respect to its inputs: R1, R2,
            GradientPenalty, ZeroCentered, DRAGAN, or any class_path
        penalty_method: exact: by differentiating twice; finite_difference: by two more passes,
            also of a sharded or compiled discriminator; by default exact where that is possible
        penalty_interval: updates of the discriminator from one with penalties to the next; their
            weights are multiplied by it
        weight_clip: bound on the absolute value of each of the discriminator's weights (WGAN)
        spectral_norm: divide each of the discriminator's weight matrices by its spectral norm
        evaluation: of samples, on the validation or test data: MixtureQuality, ImageQuality,
            StackedModes, or any class_path
        generator_optimizer: the first optimizer; any class_path; by default fused Adam at 2e-4
            with betas 0.5 and 0.999 (DCGAN)
        discriminator_optimizer: the second; likewise
        generator_weights: file that a fit starts from, as classify's weights
        discriminator_weights: likewise, of the discriminator
        weights_except: layers, or patterns of names, that stay as initialised
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    accumulates = True  # --trainer.accumulate_grad_batches, by hand

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: PositiveInt = 64,
        classes: PositiveInt | None = None,
        loss: Name = "non_saturating",
        discriminator_steps: PositiveInt = 1,
        pack: PositiveInt = 1,
        penalties: list[Penalty] | None = None,
        penalty_method: Method | None = None,
        penalty_interval: PositiveInt = 1,
        weight_clip: PositiveFinite | None = None,
        spectral_norm: bool = False,
        evaluation: Evaluation | None = None,
        generator_optimizer: OptimizerCallable | None = None,
        discriminator_optimizer: OptimizerCallable | None = None,
        generator_weights: str | None = None,
        discriminator_weights: str | None = None,
        weights_except: Patterns = None,
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.automatic_optimization = False
        check_arguments(discriminator, penalties, penalty_interval, classes, pack)
        self.generator = generator
        self.discriminator = apply_spectral_norm(discriminator) if spectral_norm else discriminator
        self.latent, self.classes, self.pack = latent, classes, pack
        self.loss, self.needs_real = LOSSES[loss], loss in RELATIVISTIC
        self.discriminator_steps = discriminator_steps
        self.penalties, self.penalty_interval = penalties or [], penalty_interval
        self.penalty_method = penalty_method
        self.weight_clip, self.evaluation = weight_clip, evaluation
        self.optimizers_of = generator_optimizer or adam, discriminator_optimizer or adam
        self.groups = groups
        files = {"generator_weights": generator_weights}
        files["discriminator_weights"] = discriminator_weights
        self.start = Start(weights_except, **files)
        self.held: list[tuple[Tensor, ...]] = []  # accumulated batches of the next step
        self.is_checked = False  # whether the networks fit each other and the data
        self.drawn: Drawn | None = None  # what predict draws in place of data

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, Any]:
        """The sizes of the networks where they are not given."""
        return {"latent": arguments.latent}

    def configure_model(self) -> None:
        distribute(self, generator=self.generator, discriminator=self.discriminator)

    def configure_optimizers(self) -> list[Optimizer]:
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        made = [
            make_optimizer(make, self.groups, name, **networks)
            for make, name in zip(self.optimizers_of, networks, strict=True)
        ]
        refuse_closures(*made)
        return made

    # The method: step.py.

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor] | None:
        self.held.append(batch)
        if self.trainer.fit_loop._should_accumulate():
            return None  # the step is made when all of its batches are here
        batches, self.held = self.held, []
        terms = step(self, batches)
        log_terms(self, terms, len(batch[0]))
        return {"loss": terms["train/loss"]}

    def inputs(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None]:
        """Real examples and labels as the networks take them; the first batch is checked."""
        real, labels = centred(batch[0]), batch[1] if self.classes else None
        if not self.is_checked:
            networks = self.generator, self.discriminator
            latents, _ = self.draw(len(real))
            check_networks(*networks, latents, real, labels, self.classes, self.pack)
            self.is_checked = True
        return real, labels

    # Samples, and their evaluation.

    def draw(self, count: int, *key: int) -> tuple[Tensor, Tensor | None]:
        """Latents (count, latent), and labels (count,) in turn if the networks are conditional.

        A pure function of the key, which leaves the generators of random numbers as they are.
        """
        latents = torch.randn(count, self.latent, generator=keyed_generator(*key))
        labels = torch.arange(count, device=self.device) % self.classes if self.classes else None
        return latents.to(self.device, self.dtype), labels

    @torch.no_grad()
    def sample(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Examples as the data have them, images in [0, 1], float32 or finer; eval mode.

        Args:
            latents: (batch, latent)
            labels: (batch,), if the networks are conditional
        """
        with evaluating(self.generator):
            return uncentred(full(generate(self, latents, labels)))

    def prepare_prediction(
        self, count: PositiveInt | None = None, interpolate: AtLeastTwo | None = None
    ) -> Drawn | None:
        """What is drawn: by default as many samples as there are examples in the predicted data.

        Args:
            count: samples to draw, without any data: to sample.npy, and images as PNG files to
                generated/; with interpolate, its rows
            interpolate: images in each row of interpolation.png, which lead from one latent to
                another; 8 rows, or count
        """
        self.drawn = Drawn(count, interpolate) if count or interpolate else None
        return self.drawn

    def configure_callbacks(self) -> list[Callback]:
        return [WritePictures(self.drawn)] if self.drawn else []

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        return predict(self, batch, batch_idx)

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        evaluate(self, batch, batch_idx)

    def on_validation_start(self) -> None:
        begin(self, self.evaluation)

    def on_validation_epoch_end(self) -> None:
        log_values(self, self.evaluation)

    test_step, on_test_start = validation_step, on_validation_start
    on_test_epoch_end = on_validation_epoch_end

    # Start and end of a fit.

    def setup(self, stage: str) -> None:
        if self.classes and stage != "predict":
            check_classes(self.trainer.datamodule, self.classes)
        if stage == "fit":
            self.held = []
            gradients = self.discriminator, self.penalties, self.penalty_method
            self.penalty_method = check_fit(self.trainer, *gradients)

    def on_fit_start(self) -> None:
        networks = {"generator_weights": self.generator}
        self.start.give(self, discriminator_weights=self.discriminator, **networks)

    def on_fit_end(self) -> None:
        record(self.trainer, self.evaluation)

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """How good the samples are at the end, with their floors."""
        return summary(metrics)

"""A generator and a discriminator, an optimizer each, one step a batch."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from jsonargparse.typing import PositiveFloat, PositiveInt
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from datamodules.loading.loader import keyed_generator
from recipes.gan.checks import (
    check_batch,
    check_labels,
    check_networks,
    check_strategy,
    method_for,
)
from recipes.gan.constraints import apply_spectral_norm, clip_weights
from recipes.gan.evaluation import Evaluation
from recipes.gan.examples import Share, centred, packed, uncentred
from recipes.gan.gradients import Method
from recipes.gan.losses import LOSSES, RELATIVISTIC, Name
from recipes.gan.penalties import (
    Penalty,
    refuse_batch_norm,
    refuse_dropout,
    total,
)
from recipes.parts.files import replace_file
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.keys import dotted
from recipes.parts.logs import is_logging_step, log_means, log_terms
from recipes.parts.networks import evaluating
from recipes.parts.sharding import distribute
from recipes.parts.stepping import backward, count_steps_of

EVALUATION, PREDICTION = 1, 2  # keys of latents outside of training
SUMMED = ("train/generator", "train/discriminator", "train/penalty")


def adam(params: Iterable[nn.Parameter]) -> Optimizer:
    """With the settings of Radford et al. 2016, section 4."""
    return torch.optim.Adam(params, lr=2e-4, betas=(0.5, 0.999), fused=True)


def alarms(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Whether the discriminator tells real from generated: if it wins always, or never, be warned.

    Args:
        real: its numbers for real examples, (packs,)
        fake: its numbers for generated ones, (packs,)

    Returns:
        accuracy: share of pairs of which the real one has the larger number, 0 to 1, 0.5 by chance;
        gap: by how much real ones are above generated ones in the mean
    """
    return {
        "train/critic_accuracy": (real > fake).float().mean(),
        "train/critic_gap": real.mean() - fake.mean(),
    }


def summary(logged: Mapping[str, Tensor]) -> str:
    """The last validation in one line: kid_pixels 0.0012 (floor 0.0003), ..."""
    found = {name.removeprefix("val/"): v for name, v in logged.items() if name.startswith("val/")}
    floors = {
        name: f" (floor {found.pop(f'{name}_floor'):.4g})"
        for name in [name.removesuffix("_floor") for name in found if name.endswith("_floor")]
    }
    return ", ".join(f"{name} {value:.4g}{floors.get(name, '')}" for name, value in found.items())


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
        discriminator_steps: updates of the discriminator in a step, each on its own share of the
            batch: the batch size is this often that of an update
        pack: examples that the discriminator is shown at a time (PacGAN); 1: none together
        penalties: on the discriminator's gradient with respect to its inputs: R1, R2,
            GradientPenalty, ZeroCentered, DRAGAN, or any class_path
        penalty_method: exact: by differentiating twice; finite_difference: by two more passes,
            also of a discriminator that is sharded or compiled; by default exact where it can be
        penalty_interval: updates of the discriminator from one with penalties to the next; their
            weights are multiplied by it
        weight_clip: bound on the size of each of the discriminator's weights (WGAN)
        spectral_norm: divide each of the discriminator's weight matrices by its spectral norm
        evaluation: of samples, on the validation or test data: MixtureQuality, ImageQuality,
            StackedModes, or any class_path
        generator_optimizer: the first optimizer; any class_path; by default fused Adam at 2e-4
            with betas 0.5 and 0.999 (DCGAN)
        discriminator_optimizer: the second; likewise
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
        weight_clip: PositiveFloat | None = None,
        spectral_norm: bool = False,
        evaluation: Evaluation | None = None,
        generator_optimizer: OptimizerCallable | None = None,
        discriminator_optimizer: OptimizerCallable | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.automatic_optimization = False
        self.penalties = penalties or []
        if self.penalties:
            refuse_batch_norm(discriminator)
        if classes and pack > 1:
            raise ValueError("--model.classes with --model.pack: a pack has no one label")
        self.generator = generator
        self.discriminator = apply_spectral_norm(discriminator) if spectral_norm else discriminator
        self.latent, self.classes, self.pack = latent, classes, pack
        self.loss, self.needs_real = LOSSES[loss], loss in RELATIVISTIC
        self.discriminator_steps = discriminator_steps
        self.penalty_method, self.penalty_interval = penalty_method, penalty_interval
        self.weight_clip, self.evaluation = weight_clip, evaluation
        self.optimizers_of = generator_optimizer or adam, discriminator_optimizer or adam
        self.held: list[tuple[Tensor, ...]] = []  # batches of a step that is to come
        self.is_checked = False

    def configure_model(self) -> None:
        distribute(self, generator=self.generator, discriminator=self.discriminator)

    def generate(self, share: Share) -> Tensor:
        """Examples (share, ...), images in [-1, 1]."""
        given = () if share.labels is None else (share.labels,)
        return self.generator(share.latents, *given)

    def criticize(self, examples: Tensor, labels: Tensor | None) -> Tensor:
        """The discriminator's numbers for examples (batch, ...): (batch / pack,)."""
        given = () if labels is None else (labels,)
        return self.discriminator(packed(examples, self.pack), *given).flatten()

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor] | None:
        self.held.append(batch)
        if self.trainer.fit_loop._should_accumulate():
            return None  # the step is made when all of its batches are here
        generator, discriminator = self.optimizers()
        count_steps_of(generator, self)  # which steps once, and last
        *earlier, last = self._rounds()
        for number, shares in enumerate(earlier):
            with torch.no_grad():
                fakes = [self.generate(share) for share in shares]
            self._step_discriminator(discriminator, shares, fakes, number)

        # One pass of the generator serves both networks; of several accumulated batches, whose
        # graphs would all have to be kept, the fakes are made again, one batch at a time.
        is_one = len(last) == 1
        with torch.set_grad_enabled(is_one):
            fakes = [self.generate(share) for share in last]
        terms = self._step_discriminator(discriminator, last, fakes, len(earlier))
        fakes = fakes if is_one else (self.generate(share) for share in last)
        terms = self._step_generator(generator, last, fakes) | terms
        terms = {"train/loss": sum(terms[name] for name in SUMMED if name in terms)} | terms
        log_terms(self, terms, len(batch[0]))
        return {"loss": terms["train/loss"]}

    def _rounds(self) -> list[list[Share]]:
        """What each update of the discriminator sees: its share of each of the step's batches."""
        batches, self.held = self.held, []
        shares = []
        for batch in batches:
            check_batch(len(batch[0]), self.discriminator_steps, self.pack)
            real, labels = self._inputs(batch)
            latents = torch.randn(len(real), self.latent, device=self.device, dtype=self.dtype)
            size = len(real) // self.discriminator_steps
            all_labels = [None] * self.discriminator_steps if labels is None else labels.split(size)
            columns = real.split(size), all_labels, latents.split(size)
            shares.append([Share(*share) for share in zip(*columns, strict=True)])
        return [list(round) for round in zip(*shares, strict=True)]

    def _inputs(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None]:
        """A batch as the networks are shown it; before the first, they are checked to fit it."""
        real, labels = centred(batch[0]), batch[1] if self.classes else None
        if not self.is_checked:
            if labels is not None:
                check_labels(labels, self.classes)
            few = len(real) // self.pack * self.pack
            latents = torch.zeros(few, self.latent, device=self.device, dtype=self.dtype)
            shown, given = packed(real[:few], self.pack), None if labels is None else labels[:few]
            networks = self.generator, self.discriminator
            check_networks(*networks, latents, shown, self.pack, given)
            self.is_checked = True
        return real, labels

    def _step_discriminator(
        self, optimizer: Optimizer, shares: list[Share], fakes: list[Tensor], number: int
    ) -> dict[str, Tensor]:
        """The step's update `number` of the discriminator; returns the last share's terms."""
        optimizer.zero_grad()
        update = self.global_step * self.discriminator_steps + number
        for share, fake in zip(shares, fakes, strict=True):
            fake = fake.detach()
            real_scores = self.criticize(share.real, share.labels)
            fake_scores = self.criticize(fake, share.labels)
            loss = self.loss.discriminator(real_scores, fake_scores)
            terms = {"train/discriminator": loss.detach()}
            if self.penalties and update % self.penalty_interval == 0:
                penalty = self.penalty_interval * self._penalty(share, fake)
                loss, terms["train/penalty"] = loss + penalty, penalty.detach()
            backward(self, loss)
        optimizer.step()
        if self.weight_clip is not None:
            clip_weights(self.discriminator, self.weight_clip)
        if is_logging_step(self.trainer):
            terms |= alarms(real_scores.detach(), fake_scores.detach())
        return terms

    def _penalty(self, share: Share, fake: Tensor) -> Tensor:
        def critic(points: Tensor) -> Tensor:
            if share.labels is None:
                return self.discriminator(points)
            return self.discriminator(points, share.labels.repeat(len(points) // len(share.labels)))

        real, fake = packed(share.real, self.pack), packed(fake, self.pack)
        return total(critic, self.penalties, real, fake, self.penalty_method)

    def _step_generator(
        self, optimizer: Optimizer, shares: list[Share], fakes: Iterable[Tensor]
    ) -> dict[str, Tensor]:
        """The step's update of the generator; returns the last share's terms."""
        with self.toggled_optimizer(optimizer):  # without gradients for the discriminator's weights
            optimizer.zero_grad()
            for share, fake in zip(shares, fakes, strict=True):
                with torch.no_grad():
                    real = self.criticize(share.real, share.labels) if self.needs_real else None
                loss = self.loss.generator(real, self.criticize(fake, share.labels))
                if is_logging_step(self.trainer):
                    fake.retain_grad()
                backward(self, loss)
            optimizer.step()
        terms = {"train/generator": loss.detach()}
        if fake.retains_grad:  # of a mean over the share, in fp16 scaled
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            scale = self.trainer.accumulate_grad_batches / (scaler.get_scale() if scaler else 1)
            terms["train/fake_gradient"] = fake.grad.flatten(1).norm(dim=1).sum() * scale
        return terms

    def draw(self, count: int, *key: int) -> tuple[Tensor, Tensor | None]:
        """Latents (count, latent), and labels (count,) in turn if the networks are conditional.

        A pure function of the key, which leaves the generators of random numbers as they are.
        """
        latents = torch.randn(count, self.latent, generator=keyed_generator(*key))
        labels = torch.arange(count, device=self.device) % self.classes if self.classes else None
        return latents.to(self.device, self.dtype), labels

    @torch.no_grad()
    def sample(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Examples as the data have them, images in [0, 1], float32, of a generator in eval mode.

        Args:
            latents: (batch, latent)
            labels: (batch,), if the networks are conditional
        """
        with evaluating(self.generator):
            given = () if labels is None else (labels,)
            return uncentred(self.generator(latents, *given).float())

    def _evaluate(self, batch: tuple[Tensor, ...], batch_idx: int, split: str) -> None:
        real, labels = self._inputs(batch)
        usable = len(real) // self.pack * self.pack
        latents, _ = self.draw(len(real), EVALUATION, batch_idx, self.global_rank)
        samples = self.sample(latents, labels)
        fake = centred(samples).to(real.dtype)
        given = None if labels is None else labels[:usable]
        scores = [self.criticize(examples[:usable], given).float() for examples in (real, fake)]
        losses = self.loss.discriminator(*scores) + self.loss.generator(*scores)
        log_means(self, {f"{split}/loss": losses}, usable)
        if self.evaluation is not None:
            self.evaluation.update(samples, batch[0], batch[1])

    def _log_evaluation(self, split: str) -> None:
        if self.evaluation is None:
            return
        if not self.trainer.sanity_checking:
            values = {f"{split}/{name}": v for name, v in self.evaluation.compute().items()}
            self.log_dict(values, sync_dist=True)
        self.evaluation.reset()

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._evaluate(batch, batch_idx, "val")

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._evaluate(batch, batch_idx, "test")

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def setup(self, stage: str) -> None:
        if stage == "fit":
            check_strategy(self.trainer.strategy)
            method = method_for(self.trainer, self.penalty_method) if self.penalties else "exact"
            if method == "finite_difference":
                refuse_dropout(self.discriminator)
            self.penalty_method = method

    def on_fit_start(self) -> None:
        self.held = []

    def on_validation_start(self) -> None:
        self._prepare("val")

    def on_test_start(self) -> None:
        self._prepare("test")

    def _prepare(self, split: str) -> None:
        if self.evaluation is not None:
            self.evaluation.prepare(self.trainer.datamodule, split)

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        latents, labels = self.draw(len(batch[0]), PREDICTION, seed, batch_idx)
        samples = {"sample": self.sample(latents, labels)}
        return samples if labels is None else samples | {"label": labels}

    def on_fit_end(self) -> None:
        if self.trainer.is_global_zero and (told := summary(self.trainer.callback_metrics)):
            print(f"validation: {told}", flush=True)
            if self.evaluation is not None:
                self._record(self.evaluation.facts)

    def _record(self, facts: dict[str, str]) -> None:
        """Keeps what the evaluation depends on, such as the hash of a classifier, with the run."""
        for logger in self.trainer.loggers:
            logger.log_hyperparams(dotted({"run": {"evaluation": facts}}))
        if facts and not self.trainer.fast_dev_run:
            folder = Path(self.trainer.default_root_dir)
            replace_file(folder / "evaluation.json", json.dumps(facts, indent=1) + "\n")

    def configure_optimizers(self) -> list[Optimizer]:
        networks = self.generator, self.discriminator
        return [make(n.parameters()) for make, n in zip(self.optimizers_of, networks, strict=True)]

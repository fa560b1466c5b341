"""An encoder and a decoder: autoencoder, variational and importance weighted autoencoder."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.write_pictures import WritePictures
from datamodules.drawn import Drawn
from datamodules.loading.splits import AtLeastTwo
from recipes.parts.evaluation import Evaluation
from recipes.parts.evaluation.report import begin, log_values, record
from recipes.parts.groups import Groups, make_optimizer
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import full
from recipes.parts.logs import log_means, log_terms, split_of
from recipes.parts.networks import evaluating
from recipes.parts.noise import CORRUPTION, EVALUATION, PIXELS, Noise, global_seed, places
from recipes.parts.numbers import NonNegativeFinite
from recipes.parts.sharding import distribute
from recipes.vae.anomalies import SCORES, Anomalies
from recipes.vae.bounds import (
    importance_weighted_bound,
    kl_to_prior,
    log_weights,
    negative_elbo,
    negative_log_likelihood,
    sampled,
)
from recipes.vae.checks import (
    check_anomalies,
    check_arguments,
    check_data,
    check_networks,
    trained_classes,
)
from recipes.vae.corruption import Corruption
from recipes.vae.likelihoods import Bernoulli, Likelihood
from recipes.vae.report import in_a_line
from recipes.vae.units import ActiveUnits

Method = Literal["autoencoder", "vae", "iwae"]
NO_ANOMALIES = "no AUROC: all of these data are anomalies, or none is"
PRIOR = -1  # in the key of codes from the prior, in place of a block's number


class VAE(LightningModule):
    """Trains an encoder and a decoder.

    Args:
        encoder: MLPEncoder, ConvEncoder, or any class_path: maps x (batch, ...) to the mean and the
            log variance of its code, (batch, 2 * latent); of an autoencoder the code alone
        decoder: MLPDecoder, ConvDecoder, or any class_path: maps codes (batch, latent) to what the
            likelihood takes, (batch, ...) in the shape of the data
        likelihood: log p(x | z): Bernoulli, Gaussian, DiscretizedLogistic, or any class_path
        latent: units of a code
        method: vae: the evidence lower bound; iwae: the importance weighted bound; autoencoder: the
            reconstruction alone, of one code
        samples: codes that are drawn for an example, k
        beta: weight of the KL (beta-VAE); 1: the evidence lower bound; above 1 a looser bound of
            log p(x), below 1 none
        corruption: of what the encoder sees, which makes it denoise: Masking, SaltAndPepper,
            GaussianNoise, or any class_path
        nll_samples: codes by which `test` and `validate` estimate -log p(x), in nats; 0: not at all
        evaluation: of samples from the prior, on the validation or test data: ImageQuality, or any
            class_path
        anomalies: classes that training never sees: logs how well the loss tells them from others
        optimizer: of encoder, decoder and likelihood; any class_path; default: fused Adam at 0.001
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    monitor = ("val/loss", "min")  # by which a state is the best
    data_arguments: ClassVar = {"target": []}  # where the user gives none

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood | None = None,
        latent: PositiveInt = 16,
        method: Method = "vae",
        samples: PositiveInt = 1,
        beta: NonNegativeFinite = 1.0,
        corruption: Corruption | None = None,
        nll_samples: NonNegativeInt = 0,
        evaluation: Evaluation | None = None,
        anomalies: list[NonNegativeInt] | None = None,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, fused=True),
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        check_arguments(method, samples, beta, nll_samples, has_evaluation=evaluation is not None)
        self.encoder, self.decoder = encoder, decoder
        self.likelihood = likelihood or Bernoulli()
        self.latent, self.method, self.samples = latent, method, samples
        self.beta, self.corruption, self.nll_samples = float(beta), corruption, nll_samples
        self.active_units = None if method == "autoencoder" else ActiveUnits(latent)
        self.evaluation = evaluation
        self.anomalies = Anomalies(anomalies) if anomalies else None
        self.optimizer = optimizer
        self.groups = groups
        self.is_checked = False  # whether the data's values are the likelihood's
        self.drawn: Drawn | None = None  # what predict draws in place of data

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, Any]:
        """The sizes of the networks where they are not given."""
        outputs = arguments.latent * (1 if arguments.method == "autoencoder" else 2)
        return {"latent": arguments.latent, "outputs": outputs}

    def configure_model(self) -> None:
        has_scale = any(True for _ in self.likelihood.parameters())
        distribute(self, encoder=self.encoder, decoder=self.decoder)
        distribute(self, likelihood=self.likelihood if has_scale else None)

    def configure_optimizers(self) -> Optimizer:
        networks = {"encoder": self.encoder, "decoder": self.decoder, "likelihood": self.likelihood}
        return make_optimizer(self.optimizer, self.groups, **networks)

    # The method.

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and log variance of q(z | x), (batch, latent); an autoencoder's code is its mean."""
        found = full(self.encoder(x.to(self.dtype)))
        return (found, None) if self.method == "autoencoder" else found.chunk(2, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """What the likelihood takes, (samples, batch, ...), of codes (samples, batch, latent)."""
        made = full(self.decoder(codes.flatten(0, 1).to(self.dtype)))
        return made.unflatten(0, codes.shape[:2])

    def terms(self, x: Tensor, noise: Noise, *, corrupt: bool = True) -> dict[str, Tensor]:
        """The loss and its parts, nats an example, (batch,); and the mean code, (batch, latent).

        Args:
            x: observed, (batch, ...)
            noise: of these rows
            corrupt: whether the encoder sees x with `corruption`, as in training
        """
        mean, log_variance = self.encode(self.corrupted(x, noise) if corrupt else x)
        if log_variance is None:
            loss = -self.likelihood(x, self.decode(mean.unsqueeze(0)))[0]
            return {"loss": loss, "reconstruction": loss, "code": mean}
        z = sampled(mean, log_variance, noise.codes(self.samples, self.latent))
        log_likelihood = self.likelihood(x, self.decode(z))
        if self.method == "iwae":
            log_w = log_weights(log_likelihood, z, mean, log_variance)
            loss = -importance_weighted_bound(log_w)
        else:
            loss = negative_elbo(log_likelihood, mean, log_variance, self.beta)
        kl = kl_to_prior(mean, log_variance).sum(1)
        return {"loss": loss, "reconstruction": -log_likelihood.mean(0), "kl": kl, "code": mean}

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        noise = self.noise("train", batch_idx, batch[0])
        terms = self.terms(self.observed(batch[0], noise), noise)
        means = {f"train/{key}": terms[key].mean() for key in terms if key != "code"}
        log_terms(self, means, len(batch[0]))
        return means["train/loss"]

    # What is random, by (seed, epoch, row).

    def noise(self, stage: str, batch_idx: int, inputs: Tensor) -> Noise:
        """The random numbers of a batch's rows: stage is train, val, test or predict."""
        rows = places(self.trainer, stage, batch_idx, len(inputs))
        epoch = self.current_epoch if stage == "train" else EVALUATION
        return Noise(rows, epoch, global_seed(), inputs.device, inputs.dtype)

    def observed(self, inputs: Tensor, noise: Noise) -> Tensor:
        """What the likelihood takes as x: for example pixels drawn as black or white."""
        if self.current_epoch == 0 or not self.is_checked:  # all that there are, once
            self.likelihood.check(inputs)
            self.is_checked = True
        draws = self.likelihood.draws
        random = noise.uniform(PIXELS, inputs.shape[1:]) if draws else None
        return self.likelihood.observed(inputs, random)

    def corrupted(self, x: Tensor, noise: Noise) -> Tensor:
        """What the encoder sees of x."""
        if self.corruption is None:
            return x
        return self.corruption(x, noise.uniform(CORRUPTION, x.shape[1:]))

    # Evaluation.

    def on_validation_start(self) -> None:
        begin(self, self.evaluation)
        if self.anomalies is not None:  # a checkpoint may have given the classes other numbers
            check_anomalies(self.anomalies.classes, self.trainer.datamodule)
            self.anomalies.trained = trained_classes(self.trainer.datamodule)

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        inputs, targets, *_ = batch
        split = split_of(self.trainer)
        noise = self.noise(split, batch_idx, inputs)
        x = self.observed(inputs, noise)
        terms = self.terms(x, noise)
        code = terms.pop("code")
        if self.active_units is not None:
            self.active_units.update(code)
        if self.nll_samples and self.trainer.state.fn != TrainerFn.FITTING:
            terms["nll"] = negative_log_likelihood(self, x, noise, self.nll_samples)
        if self.evaluation is not None:
            prior = noise.codes(1, self.latent, PRIOR)[0]
            self.evaluation.update(self.sample(prior), inputs, targets)
        if self.anomalies is not None:
            compared = self.anomalies.compared(targets)
            terms = {name: values[compared] for name, values in terms.items()}
            is_anomaly = self.anomalies.among(targets[compared])
            self.anomalies.update(is_anomaly, **{name: terms[name] for name in SCORES})
            terms = {name: values[~is_anomaly] for name, values in terms.items()}
        means = {f"{split}/{name}": values.mean() for name, values in terms.items()}
        log_means(self, means, len(terms["loss"]), prog_bar=split == "val")

    def on_validation_epoch_end(self) -> None:
        found: dict[str, Tensor] = {}
        if self.active_units is not None:
            found["active_units"] = self.active_units.compute()
            self.active_units.reset()
        if self.anomalies is not None:
            areas = self.anomalies.compute()
            found |= areas
            self.anomalies.reset()
            if not areas and self.trainer.state.fn != TrainerFn.FITTING:
                rank_zero_info(f"note: {NO_ANOMALIES}")
        split = split_of(self.trainer)
        named = {f"{split}/{name}": value for name, value in found.items()}
        self.log_dict(named, sync_dist=True)
        log_values(self, self.evaluation)

    test_step, on_test_start = validation_step, on_validation_start
    on_test_epoch_end = on_validation_epoch_end

    # Samples and codes.

    @torch.no_grad()
    def sample(self, codes: Tensor) -> Tensor:
        """E[x | z] of codes (batch, latent), images from 0 to 1; in evaluation mode."""
        with evaluating(self.decoder):
            return self.likelihood.mean(self.decode(codes.unsqueeze(0)))[0]

    def prepare_prediction(
        self, count: PositiveInt | None = None, interpolate: AtLeastTwo | None = None
    ) -> Drawn | None:
        """What is drawn from the prior; by default the predicted data are encoded.

        Args:
            count: samples to draw, without any data: to sample.npy, and images as PNG files to
                generated/; with interpolate, its rows
            interpolate: images in each row of interpolation.png, which lead from one code to
                another; 8 rows, or count
        """
        self.drawn = Drawn(count, interpolate) if count or interpolate else None
        if self.drawn and self.method == "autoencoder":
            raise ValueError(
                f"--{'count' if count else 'interpolate'}: an autoencoder has no prior to draw "
                "from: --model.method=vae"
            )
        return self.drawn

    def configure_callbacks(self) -> list[Callback]:
        return [WritePictures(self.drawn)] if self.drawn else []

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        if self.drawn is not None:
            codes, _ = self.drawn.latents(batch[0].cpu(), self.latent, None, global_seed())
            return {"sample": self.sample(codes.to(self.device, self.dtype))}
        inputs, targets, *_ = batch
        noise = self.noise("predict", batch_idx, inputs)
        return {"target": targets} | self.terms(self.observed(inputs, noise), noise, corrupt=False)

    # Start and end of a fit.

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule
        check_data(data)
        if self.anomalies is not None and stage == "fit":
            check_anomalies(self.anomalies.classes, data)
        if self.drawn is None:
            networks = self.encoder, self.decoder, self.likelihood
            check_networks(networks, self.latent, self.method, data)

    def on_fit_end(self) -> None:
        record(self.trainer, self.evaluation)

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """The bound at the end, its parts, how many units are active, and how good samples are."""
        line = in_a_line(metrics, self.latent)
        is_missing = self.anomalies is not None and "val/auroc_loss" not in metrics
        return f"{line}, {NO_ANOMALIES}" if is_missing else line

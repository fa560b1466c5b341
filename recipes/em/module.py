"""Expectation maximisation: gradients hold the statistics, an optimizer's step is the M-step."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jsonargparse.typing import restricted_number_type
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.optim import Optimizer

from recipes.em.checks import check_setup, check_steps
from recipes.em.mixture import Mixture, Statistics
from recipes.em.start import Start, initialise, training_rows
from recipes.parts.groups import Groups, make_optimizer
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.logs import log_means, log_terms, split_of
from recipes.parts.noise import global_seed

Exponent = restricted_number_type("StepExponent", float, [(">", 0.5), ("<=", 1)])


def responsibilities(log_joint: Tensor) -> Tensor:
    """Shares r_k = p(k | x) = pi_k p(x | k) / p(x), (batch, K)."""
    return log_joint.softmax(1)


def log_likelihoods(log_joint: Tensor) -> Tensor:
    """Log p(x) = log of the sum over k of pi_k p(x | k), nats, (batch,).

    Args:
        log_joint: log pi_k p(x | k), (batch, K); p itself, of 784 values, would be rounded to 0
    """
    return log_joint.logsumexp(1)


@torch.no_grad()
def e_step(mixture: Mixture, inputs: Tensor) -> tuple[Tensor, Statistics]:
    """Log p(x) of each row, and the sums over rows of r_k T(x): Dempster et al. 1977, section 3."""
    log_joint = mixture(inputs)
    x = mixture.observed(inputs)
    return log_likelihoods(log_joint), mixture.statistics(x, responsibilities(log_joint))


def step_size(taken: int, exponent: float | None) -> float:
    """gamma_t = (t + 2)^-alpha of a step after t others; 1, a whole M-step, without an exponent.

    Liang & Klein 2009, section 3; Cappé & Moulines 2009 want an alpha above 1/2, and at most 1.
    """
    return 1.0 if exponent is None else (taken + 2) ** -exponent


def with_gradients(loss: Tensor, mixture: Mixture, statistics: Statistics) -> Tensor:
    """The loss, whose gradient is, of each parameter, its statistic.

    These are sums over rows, and so add up over batches and processes; that Lightning divides them
    by their numbers changes nothing, as an M-step takes ratios of them.
    """
    products = [(p * statistics[name]).sum() for name, p in mixture.named_parameters()]
    carrier = torch.stack(products).sum()
    return loss.detach() + (carrier - carrier.detach())


class MStep(Optimizer):
    """Steps a mixture to the parameters that maximise its expected log likelihood.

        s <- (1 - gamma_t) s + gamma_t s_new,    theta <- argmax of the likelihood given s

    The recursion of Cappé & Moulines 2009. The running statistics s are those of the present
    parameters, which determine them; s_new are the gradients.

    Args:
        mixture: to step
        exponent: alpha of `step_size`
    """

    def __init__(self, mixture: Mixture, exponent: float | None = None) -> None:
        # The rate multiplies gamma, so that LRDecay and others can act on it.
        super().__init__(mixture.parameters(), {"lr": 1.0, "taken": 0})
        self.mixture, self.exponent = mixture, exponent

    def step(self, closure: Any = None) -> Any:  # noqa: ANN401 - as in torch
        loss = closure() if closure else None
        (group,) = self.param_groups
        statistics = {name: p.grad for name, p in self.mixture.named_parameters()}
        self.mixture.maximize(statistics, group["lr"] * step_size(group["taken"], self.exponent))
        group["taken"] += 1
        return loss


class EM(LightningModule):
    """Fits a mixture by expectation maximisation, or by gradient ascent.

    Args:
        network: GaussianMixture, BernoulliMixture, or any class_path of a Mixture
        stepwise: exponent alpha of the step sizes (t + 2)^-alpha, above 0.5 and at most 1, by which
            each step forgets some of the statistics of those before; without it each step is of all
            rows, and forgets them all
        start: kmeans++: each row belongs to the nearest of rows that are far apart; random: to all
            components, by random shares; null: the network as it is
        optimizer: any class_path, such as Adam: gradient ascent of the likelihood in place of
            expectation maximisation; not of a GaussianMixture
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    monitor = ("val/loss", "min")  # by which a state is the best
    data_arguments: ClassVar = {"target": []}  # where the user gives none

    def __init__(
        self,
        network: Mixture,
        stepwise: Exponent | None = None,
        start: Start | None = "kmeans++",
        optimizer: OptimizerCallable | None = None,
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network, self.optimizer, self.start = network, optimizer, start
        self.groups = groups
        self.stepwise = stepwise and float(stepwise)
        if groups is not None and not optimizer:
            raise ValueError("--model.groups are of --model.optimizer, not of M-steps")
        if optimizer and stepwise:
            raise ValueError(f"--model.stepwise={stepwise} is of M-steps, not of --model.optimizer")
        if optimizer and not network.is_free:
            raise ValueError(
                f"--model.optimizer: gradients can make a {type(network).__name__} no mixture at "
                "all: without it there is expectation maximisation"
            )
        self.is_started = start is None
        self.tally: Tensor | None = None  # log likelihood and rows of a step so far

    @property
    def is_whole(self) -> bool:
        """Whether a step is of all rows."""
        return not self.optimizer and not self.stepwise

    def configure_optimizers(self) -> Optimizer:
        if self.optimizer:
            return make_optimizer(self.optimizer, self.groups, network=self.network)
        return MStep(self.network, self.stepwise)

    # The method.

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        inputs, *_ = batch
        if self.optimizer:
            log_likelihood = log_likelihoods(self.network(inputs))
            loss = -log_likelihood.mean()
        else:
            log_likelihood, statistics = e_step(self.network, inputs)
            loss = with_gradients(-log_likelihood.mean(), self.network, statistics)
        terms = {"train/loss": loss}
        if self.is_whole:
            terms |= self.totals(log_likelihood)
        log_terms(self, terms, len(inputs))
        return loss

    def totals(self, log_likelihood: Tensor) -> dict[str, Tensor]:
        """Log likelihood and BIC (Schwarz 1978) of a step's rows, when its last batch has come.

        Args:
            log_likelihood: of a batch, nats, (batch,)
        """
        values = log_likelihood.sum(), log_likelihood.new_tensor(len(log_likelihood))
        reduce = self.trainer.strategy.reduce
        found = torch.stack([reduce(value, reduce_op="sum") for value in values])
        self.tally = found if self.tally is None else self.tally + found
        if self.trainer.fit_loop._should_accumulate():
            return {}
        (total, rows), self.tally = self.tally, None
        bic = self.network.parameter_count * rows.log() - 2 * total
        return {"train/loss": -total / rows, "train/log_likelihood": total, "train/bic": bic}

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        split, inputs = split_of(self.trainer), batch[0]
        loss = -log_likelihoods(self.network(inputs)).mean()
        used = torch.special.entr(self.network.weights).sum().exp()
        log_means(self, {f"{split}/loss": loss}, len(inputs), prog_bar=split == "val")
        log_means(self, {f"{split}/components": used}, len(inputs))

    test_step = validation_step

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        inputs, targets, *_ = batch
        log_joint = self.network(inputs)
        found = responsibilities(log_joint)
        return {
            "target": targets,
            "component": found.argmax(1),
            "log_likelihood": log_likelihoods(log_joint),
            "responsibility": found,
        }

    # Start and end of a fit, and checkpoints.

    def setup(self, stage: str) -> None:
        check_setup(self.trainer, self.network, self.trainer.datamodule)

    def on_train_start(self) -> None:
        if not self.optimizer:
            check_steps(self.trainer, self.is_whole)
        if not self.is_started:
            seed = global_seed()
            initialise(self.network, training_rows(self.trainer, seed), self.start, seed)
        self.is_started = True

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.is_started = True

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """How likely validation rows are at the end."""
        loss, used = (float(metrics[f"val/{name}"]) for name in ("loss", "components"))
        count = self.network.components
        return f"validation: loss {loss:.4g} nats a row, {used:.1f} of {count} components in use"

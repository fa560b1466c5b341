"""A mixture of normal distributions, whose covariances are of four kinds."""

import math
from typing import Literal

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from recipes.em.mixture import Mixture, Statistics, mixed
from recipes.parts.networks import Width
from recipes.parts.numbers import NonNegativeFinite

Covariance = Literal["full", "tied", "diag", "spherical"]


class GaussianMixture(Mixture):
    """A mixture of normal distributions.

    Its statistics are sums of r, r d and r d d', where d = x - mu are deviations from the present
    means: sums of x x' would lose the digits that squares have in common far from zero.

    Args:
        inputs: values of one input, D
        components: K
        covariance: full: a matrix for each component; tied: one for all; diag: variances for each
            component; spherical: one variance for each
        reg_covar: added to all variances, so that a component of one row, or of equal ones, has a
            density; as in scikit-learn
    """

    is_free = False  # gradients would leave the positive definite matrices

    def __init__(
        self,
        inputs: Width,
        components: PositiveInt = 3,
        covariance: Covariance = "full",
        reg_covar: NonNegativeFinite = 1e-6,
    ) -> None:
        super().__init__(inputs, components)
        self.covariance, self.reg_covar = covariance, float(reg_covar)
        self.means = nn.Parameter(torch.zeros(self.components, self.inputs))
        ones, eye = torch.ones(self.components, self.inputs), torch.eye(self.inputs)
        start = {"full": ones.diag_embed(), "tied": eye, "diag": ones, "spherical": ones[:, 0]}
        self.covariances = nn.Parameter(start[covariance].clone())

    @property
    def parameter_count(self) -> int:
        matrix = self.inputs * (self.inputs + 1) // 2  # which is symmetric
        own = {"full": self.components * matrix, "tied": matrix}
        free = own.get(self.covariance, self.covariances.numel())
        return self.components - 1 + self.means.numel() + free

    @property
    def has_matrices(self) -> bool:
        """Whether covariances are matrices, and not variances."""
        return self.covariance in ("full", "tied")

    def log_densities(self, x: Tensor) -> Tensor:
        """-1/2 (D log 2 pi + log |Sigma| + d' Sigma^-1 d) of each row and component."""
        deviations, scale = x.unsqueeze(1) - self.means, self.scale()
        if self.has_matrices:
            columns = deviations.permute(1, 2, 0)
            whitened = torch.linalg.solve_triangular(scale, columns, upper=False).permute(2, 0, 1)
            log_scale = scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        else:
            scale = scale.reshape(self.components, -1).expand_as(self.means)
            whitened, log_scale = deviations / scale, scale.log().sum(1)
        constant = self.inputs * math.log(2 * math.pi) / 2
        return -(whitened.square().sum(2) / 2 + log_scale + constant)

    def scale(self) -> Tensor:
        """The covariances' Cholesky factors L, with L L' = Sigma; or standard deviations.

        Raises:
            ValueError: if a component has no density
        """
        if self.has_matrices:
            scale, faults = torch.linalg.cholesky_ex(self.covariances)
        else:
            scale, faults = self.covariances.sqrt(), self.covariances <= 0
        if faults.any():
            raise ValueError(
                f"--model.network.reg_covar={self.reg_covar:g}: a component's covariance is not "
                "positive definite, as of few rows: more of it, fewer --model.network.components, "
                "another --model.network.covariance, or --trainer.precision=64-true"
            )
        return scale

    def scatter(self, deviations: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums of squares of deviations (rows, K, D), in the shape of the covariances.

        Of `tied` the sum over components, of `spherical` the mean over dimensions.
        """
        if self.has_matrices:
            over = "kde" if self.covariance == "full" else "de"
            weighted = deviations * weights.unsqueeze(2)
            return torch.einsum(f"nkd,nke->{over}", weighted, deviations)
        squares = torch.einsum("nk,nkd->kd", weights, deviations.square())
        return squares if self.covariance == "diag" else squares.mean(1)

    def statistics(self, x: Tensor, responsibilities: Tensor) -> Statistics:
        deviations = x.unsqueeze(1) - self.means
        return {
            "log_weights": responsibilities.sum(0),
            "means": torch.einsum("nk,nkd->kd", responsibilities, deviations),
            "covariances": self.scatter(deviations, responsibilities),
        }

    @torch.no_grad()
    def maximize(self, statistics: Statistics, step: float) -> None:
        old, (new, rows) = self.weights, self.shares(statistics["log_weights"], step)
        # Of the present parameters the mean deviation is 0 and the mean square the covariance.
        first = step * statistics["means"] / rows
        second = mixed(
            self.of_each(old) * (self.covariances - self.reg_covar * self.identity),
            statistics["covariances"] / rows,
            step,
        )
        shift = first / new.unsqueeze(1)
        second = (second - self.scatter(shift.unsqueeze(0), new.unsqueeze(0))) / self.of_each(new)
        if not self.has_matrices:
            second = second.clamp(min=0)  # below it by rounding alone
        self.log_weights.copy_(new.log())
        self.means.add_(shift)
        self.covariances.copy_(second + self.reg_covar * self.identity)

    @property
    def identity(self) -> Tensor:
        """What `reg_covar` multiplies: of matrices the identity, of variances 1."""
        like = self.covariances
        return torch.eye(self.inputs).to(like) if self.has_matrices else torch.ones(()).to(like)

    def of_each(self, weights: Tensor) -> Tensor:
        """The weights, (K,), beside the covariances; of `tied`, which have one for all, 1."""
        if self.covariance == "tied":
            return weights.sum()
        return weights.reshape(-1, *[1] * (self.covariances.ndim - 1))

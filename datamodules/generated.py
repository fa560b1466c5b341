"""Regressions whose truth is known: Friedman's functions, and a line of any condition number."""

from typing import Literal

import torch
from jsonargparse.typing import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    restricted_number_type,
)
from torch import Tensor

from datamodules.loading.loader import keyed_generator
from datamodules.loading.splits import Share
from datamodules.tabular import TabularData

Condition = restricted_number_type("AtLeastOne", float, (">=", 1))


class Friedman(TabularData):
    """A nonlinear function of a few inputs plus normal noise, as large as you like.

    Friedman, "Multivariate Adaptive Regression Splines" (1991), as scikit-learn generates them:

        1: y = 10 sin(pi x1 x2) + 20 (x3 - 0.5)^2 + 10 x4 + 5 x5; further inputs are irrelevant
        2: y = sqrt(x1^2 + (x2 x3 - 1 / (x2 x4))^2)
        3: y = arctan((x2 x3 - 1 / (x2 x4)) / x1)

    Args:
        variant: which of the three functions
        rows: examples in total
        features: inputs of variant 1, at least 5; the others have 4
        noise: standard deviation of the noise, in the target's unit
        data_seed: of the inputs and the noise
        batch_size: rows per batch, on each process; `full`: all training rows in each batch
        val_size: share of the rows that are not for testing that is for validation
        test_size: share of all rows that is for testing
        split: number of the random split
        standardize: shift and scale each input and the target to mean 0 and standard deviation 1
            on the training rows
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order
        folds: parts that all rows are cut into, one of them for testing in place of `test_size`
        fold: number of the part that is for testing
        repeat: number of the random cutting

    Raises:
        ValueError: if variant 1 has fewer than 5 features
    """

    def __init__(
        self,
        variant: Literal[1, 2, 3] = 1,
        rows: PositiveInt = 20_000,
        features: PositiveInt = 10,
        noise: NonNegativeFloat = 1.0,
        data_seed: NonNegativeInt = 0,
        batch_size: PositiveInt | Literal["full"] = 128,
        val_size: Share = 0.2,
        test_size: Share = 0.2,
        split: NonNegativeInt = 0,
        standardize: bool = True,
        reshuffle: bool = True,
        seed: NonNegativeInt = 0,
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
        repeat: NonNegativeInt = 0,
    ) -> None:
        super().__init__(
            batch_size,
            val_size,
            test_size,
            split,
            standardize,
            reshuffle,
            seed,
            folds,
            fold,
            repeat,
        )
        if variant == 1 and features < 5:
            raise ValueError(f"--data.features={features}: Friedman's variant 1 has at least 5")
        self.variant, self.rows, self.inputs = variant, rows, features
        self.noise, self.data_seed = noise, data_seed

    def load(self) -> tuple[Tensor, Tensor]:
        from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3  # half a second

        kwargs = {"n_samples": self.rows, "noise": self.noise, "random_state": self.data_seed}
        if self.variant == 1:
            inputs, targets = make_friedman1(n_features=self.inputs, **kwargs)
        else:
            inputs, targets = {2: make_friedman2, 3: make_friedman3}[self.variant](**kwargs)
        self.feature_names = [f"x{number}" for number in range(1, inputs.shape[1] + 1)]
        self.target_name = "y"
        return torch.from_numpy(inputs), torch.from_numpy(targets)


class Linear(TabularData):
    """y = X w + b + noise, with inputs of a given condition number.

    X is normal with mean 0 and covariance R diag(eigenvalues) R', where the eigenvalues go down in
    equal ratios from 1 to 1 / condition and R is a random rotation: `condition` is the condition
    number of the expectation of X'X / rows, the curvature of half the mean squared error. w is
    standard normal if no weight is given. After `setup`, `weights` (features,) and `bias` hold the
    truth.

    Not standardised by default: scaling the inputs changes their condition number.

    Args:
        rows: examples in total
        features: inputs; with one the condition number is 1
        noise: standard deviation of the noise
        condition: largest eigenvalue of the covariance over the smallest
        bias: b
        weight: each entry of w; by default they are drawn
        mean: of each input; away from 0 a constant term and the weights are no longer learned
            independently
        data_seed: of w, R, X and the noise
        batch_size: rows per batch, on each process; `full`: all training rows in each batch
        val_size: share of the rows that are not for testing that is for validation
        test_size: share of all rows that is for testing
        split: number of the random split
        standardize: shift and scale each input and the target to mean 0 and standard deviation 1
            on the training rows
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order
        folds: parts that all rows are cut into, one of them for testing in place of `test_size`
        fold: number of the part that is for testing
        repeat: number of the random cutting
    """

    def __init__(
        self,
        rows: PositiveInt = 1000,
        features: PositiveInt = 10,
        noise: NonNegativeFloat = 0.1,
        condition: Condition = 1.0,
        bias: float = 0.0,
        weight: float | None = None,
        mean: float = 0.0,
        data_seed: NonNegativeInt = 0,
        batch_size: PositiveInt | Literal["full"] = 32,
        val_size: Share = 0.2,
        test_size: Share = 0.2,
        split: NonNegativeInt = 0,
        standardize: bool = False,
        reshuffle: bool = True,
        seed: NonNegativeInt = 0,
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
        repeat: NonNegativeInt = 0,
    ) -> None:
        super().__init__(
            batch_size,
            val_size,
            test_size,
            split,
            standardize,
            reshuffle,
            seed,
            folds,
            fold,
            repeat,
        )
        self.rows, self.inputs, self.noise = rows, features, noise
        self.condition, self.bias, self.data_seed = condition, bias, data_seed
        self.weight, self.mean = weight, mean

    def load(self) -> tuple[Tensor, Tensor]:
        generator = keyed_generator(self.data_seed)

        def normal(*size: int) -> Tensor:
            return torch.randn(size, dtype=torch.float64, generator=generator)

        self.weights = normal(self.inputs)  # also where one is given: X stays the same
        if self.weight is not None:
            self.weights.fill_(self.weight)
        # Its columns' signs do not matter: the inputs they rotate are symmetric.
        rotation = torch.linalg.qr(normal(self.inputs, self.inputs)).Q
        exponents = torch.linspace(0, -0.5, self.inputs, dtype=torch.float64)
        inputs = normal(self.rows, self.inputs) * float(self.condition) ** exponents @ rotation.T
        inputs += self.mean
        noise = self.noise * normal(self.rows)
        return inputs, inputs @ self.weights + self.bias + noise

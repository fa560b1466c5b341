"""Which rows are for what: shares held out by a key, and scaling by the training rows."""

from dataclasses import dataclass

import torch
from jsonargparse.typing import restricted_number_type
from torch import Tensor

from datamodules.loading.joined import Rows
from datamodules.loading.loader import keyed_generator
from datamodules.loading.missing import is_known

ROUNDING = 1e-14  # of float64, relative, with that of a mean
Share = restricted_number_type("ShareBelowOne", float, [(">=", 0), ("<", 1)])
AtLeastTwo = restricted_number_type("AtLeastTwo", int, (">=", 2))


@dataclass
class Split:
    """The rows of one split, standardised, and how to undo that for predictions of the target.

    Of several targets, mean and deviation are tensors (targets,), float64. Of a class they are 0
    and 1.

    Args:
        train: what is learned from
        val: what is selected on; may be empty
        test: what is reported; may be empty
        input_mean: of each of the train rows' features, (features,); 0 if not standardised
        input_std: the same with divisor n; 1 if not standardised, or if they are all equal
        target_mean: of the train rows' targets, in the target's unit; 0 if not standardised
        target_std: the same with divisor n; 1 if not standardised, or if they are all equal
    """

    train: Rows
    val: Rows
    test: Rows
    input_mean: Tensor
    input_std: Tensor
    target_mean: float | Tensor
    target_std: float | Tensor


@dataclass
class Scale:
    """Means and standard deviations of inputs and targets, as in `Split`."""

    input_mean: Tensor
    input_std: Tensor
    target_mean: float | Tensor
    target_std: float | Tensor

    @classmethod
    def of(cls, inputs: Tensor, targets: Tensor, numbers: int, standardize: bool) -> "Scale":
        """Those of some rows.

        Args:
            inputs: (rows, features)
            targets: (rows,) or (rows, targets); NaN and class numbers do not count
            numbers: how many of the first features are standardised
            standardize: if not, means are 0 and deviations 1
        """
        mean, std = torch.zeros_like(inputs[0]), torch.ones_like(inputs[0])
        centres, scales = torch.zeros_like(targets[0]), torch.ones_like(targets[0])
        if standardize:
            if numbers:
                mean[:numbers], std[:numbers] = centre_and_scale(inputs[:, :numbers])
            if targets.is_floating_point() and is_known(targets).any():
                columns = targets[:, None] if targets.ndim == 1 else targets
                pairs = [centre_and_scale(part[~part.isnan()]) for part in columns.unbind(1)]
                centres, scales = (
                    torch.stack(v).reshape(centres.shape) for v in zip(*pairs, strict=True)
                )
        if targets.ndim == 1:
            return cls(mean, std, float(centres), float(scales))
        return cls(mean, std, centres, scales)

    def rows(self, inputs: Tensor, targets: Tensor) -> Rows:
        """Rows standardised."""
        if targets.is_floating_point():
            targets = (targets - self.target_mean) / self.target_std
        return Rows((inputs - self.input_mean) / self.input_std, targets)


def held_rows(rows: int, share: float, option: str, what: str = "rows") -> int:
    """How many rows a share of them is, or a number of rows, from 1; see `hold_out`.

    Raises:
        ValueError: if the share is of no row, or of all, or a number of rows is not whole
    """
    if share > 1 and share % 1:
        raise ValueError(f"{option}={share}: a share is below 1, a number of {what} whole")
    held = round(share * rows) if share < 1 else int(share)
    if share and not 0 < held < rows:
        raise ValueError(f"{option}={share} of {rows} {what} is {held} of them: too few {what}")
    return held


def hold_out(rows: Tensor, share: float, option: str, *key: int) -> tuple[Tensor, Tensor]:
    """Sets a random share of some rows apart, or a number of them.

    Args:
        rows: row numbers, (n,)
        share: 0 <= share < 1; round(share * n) rows are held out, halves rounded to even; from 1,
            the number of rows that are held out
        option: that the share was given by, for the message
        key: which rows are held out is a pure function of it

    Returns:
        the rows that stay and those held out, both in the order of `rows`

    Raises:
        ValueError: if the share is of no row, or of all, or a number of rows is not whole
    """
    held = held_rows(len(rows), share, option)
    order = torch.randperm(len(rows), generator=keyed_generator(*key))
    return rows[order[held:].sort().values], rows[order[:held].sort().values]


def centre_and_scale(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (divisor n) of each column; the latter is 1 for equal values.

    Values that differ by no more than their rounding are equal.

    Raises:
        ValueError: if values are so large that their squares overflow
    """
    mean, std, largest = values.mean(0), values.std(0, correction=0), values.abs().amax(0)
    if not std.isfinite().all():
        raise ValueError(f"--data has values up to {largest.max():.0e}: too large to standardise")
    return mean, std.masked_fill(std <= ROUNDING * largest, 1.0)

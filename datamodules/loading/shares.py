"""Rows held out with the same share of each class."""

import torch
from torch import Tensor

from datamodules.loading.loader import keyed_generator
from datamodules.loading.splits import hold_out


def hold_out_of_each(
    rows: Tensor, labels: Tensor, share: float, option: str, *key: int
) -> tuple[Tensor, Tensor]:
    """Sets a random share of some rows apart, or a number, as nearly the same of each class.

    Args:
        rows: row numbers, (n,)
        labels: their classes, (n,); those without one are a class, too
        share: as of `hold_out`, which says how many rows are held out
        option: that the share was given by, for the message
        key: which rows are held out is a pure function of it

    Returns:
        the rows that stay and those held out, both in the order of `rows`

    Raises:
        ValueError: from `hold_out`
    """
    held = len(hold_out(rows, share, option, *key)[1])
    order = torch.randperm(len(rows), generator=keyed_generator(*key))
    _, of_class = labels[order].unique(return_inverse=True)
    sizes = of_class.bincount()
    # Each row's place within its class, as a share of the class: the smallest ones are held out.
    by_class = of_class.argsort(stable=True)
    first = (sizes.cumsum(0) - sizes)[of_class[by_class]]
    place = torch.empty(len(rows))
    place[by_class] = (torch.arange(len(rows)) - first + 0.5) / sizes[of_class[by_class]]
    chosen = order[place.argsort(stable=True)]
    return rows[chosen[held:].sort().values], rows[chosen[:held].sort().values]

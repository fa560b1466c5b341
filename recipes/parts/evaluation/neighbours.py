"""Fidelity and diversity of samples by nearest neighbours among features."""

from collections.abc import Iterator

import torch
from torch import Tensor

from recipes.parts.evaluation.bars import Track, silent

ROWS = 1024  # of the matrix of distances that are computed at a time
PRECISION, COVERAGE = 3, 5  # neighbours, as the papers have them


def distances(
    points: Tensor, others: Tensor, track: Track = silent
) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances, the matrix (points, others) by blocks of rows, which `track` shows."""
    for start in track(range(0, len(points), ROWS), "neighbours"):
        rows = slice(start, start + ROWS)
        yield rows, torch.cdist(points[rows], others)


def radii(points: Tensor, neighbours: list[int], track: Track = silent) -> Tensor:
    """Distance from each point to its k-th nearest other one.

    Args:
        points: (n, d)
        neighbours: the values of k, from small to large; n - 1 where there are fewer points
        track: shows which block of rows is at hand

    Returns:
        (len(neighbours), n)
    """
    last = len(points) - 1
    columns = [min(k, last) for k in neighbours]
    # k + 1 of them, as the nearest is the point itself.
    found = [
        part.topk(columns[-1] + 1, largest=False).values[:, columns]
        for _, part in distances(points, points, track)
    ]
    return torch.cat(found).T


def fidelity_and_diversity(real: Tensor, fake: Tensor, track: Track = silent) -> dict[str, Tensor]:
    """How far samples lie within the real data's neighbourhoods, and the other way round.

    Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models"
    (2019), equations 1 and 2, with 3 neighbours, https://arxiv.org/abs/1904.06991; Naeem et al.,
    "Reliable Fidelity and Diversity Metrics for Generative Models" (2020), equations 4 and 6, with
    5 neighbours, https://arxiv.org/abs/2002.09797. A point's neighbourhood is the ball that reaches
    to its k-th nearest neighbour of its own kind.

    Args:
        real: features, (n, d), n >= 2
        fake: features of as many samples, or about as many, (m, d), m >= 2
        track: shows which block of rows is at hand

    Returns:
        precision: share of samples in the neighbourhood of any real one, 0 to 1;
        recall: share of real ones in the neighbourhood of any sample, 0 to 1;
        density: number of real neighbourhoods that a sample lies in, divided by the expected 5;
        coverage: share of real ones with a sample in their neighbourhood, 0 to 1; real examples in
            place of the samples reach about 0.97
    """
    real, fake = real.double(), fake.double()
    precise_radius, covered_radius = radii(real, [PRECISION, COVERAGE], track)
    (recalled_radius,) = radii(fake, [PRECISION], track)
    precise = inside = real.new_zeros(())
    recalled = covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows, part in distances(fake, real, track):
        precise = precise + (part <= precise_radius).any(1).sum()
        recalled = recalled | (part <= recalled_radius[rows, None]).any(0)
        within = part <= covered_radius
        inside = inside + within.sum()
        covered = covered | within.any(0)
    return {
        "precision": precise / len(fake),
        "recall": recalled.double().mean(),
        "density": inside / (COVERAGE * len(fake)),
        "coverage": covered.double().mean(),
    }

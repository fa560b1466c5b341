"""Fidelity and diversity of samples by nearest neighbours among features."""

from collections.abc import Iterator

import torch
from torch import Tensor

from recipes.parts.evaluation.bars import Track, silent

ROWS = 128  # of the matrix of distances that are computed at a time: they stay in a core's cache
PRECISION, COVERAGE = 3, 5  # neighbours, as the papers have them


def squared_distances(
    points: Tensor, others: Tensor, track: Track = silent
) -> Iterator[tuple[slice, Tensor]]:
    """|x|^2 + |y|^2 - 2 x y, the matrix (points, others) by blocks of rows, which `track` shows.

    As one product, (|x|^2, 1, -2 x) (1, |y|^2, y), so that each number is written once.
    """
    lengths, one = others.square().sum(1, keepdim=True), others.new_ones(1)
    right = torch.cat([one.expand(len(others), 1), lengths, others], 1).T
    for start in track(range(0, len(points), ROWS), "neighbours"):
        rows = slice(start, start + ROWS)
        part = points[rows]
        left = [part.square().sum(1, keepdim=True), one.expand(len(part), 1), -2 * part]
        yield rows, torch.cat(left, 1) @ right


def squared_radii(points: Tensor, neighbours: list[int], track: Track = silent) -> Tensor:
    """Squared distance from each point to its k-th nearest other one.

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
        for _, part in squared_distances(points, points, track)
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
    precise_radius, covered_radius = squared_radii(real, [PRECISION, COVERAGE], track)
    (recalled_radius,) = squared_radii(fake, [PRECISION], track)
    precise = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool, device=real.device)
    inside = 0
    for rows, part in squared_distances(fake, real, track):
        # Few pairs are in a neighbourhood: what follows looks at these alone.
        near = (part <= covered_radius) | (part <= recalled_radius[rows, None])
        sample, example = near.nonzero(as_tuple=True)
        distance, sample = part[sample, example], sample + rows.start
        precise[sample[distance <= precise_radius[example]]] = True
        recalled[example[distance <= recalled_radius[sample]]] = True
        within = example[distance <= covered_radius[example]]
        covered[within] = True
        inside += len(within)
    return {
        "precision": precise.double().mean(),
        "recall": recalled.double().mean(),
        "density": precise.new_tensor(inside / (COVERAGE * len(fake)), dtype=torch.double),
        "coverage": covered.double().mean(),
    }

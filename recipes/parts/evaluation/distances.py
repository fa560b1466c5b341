"""How far generated features and classes are from the real ones."""

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from recipes.parts.evaluation.bars import Track, silent

SUBSETS, SIZE = 100, 1000  # of examples, for KID
ROWS = 125  # of a kernel's matrix that are computed at a time: they stay in a core's cache


class Features(nn.Identity):
    """The extractor of a metric that is given features in place of images."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.num_features = count


def kernel_distance(real: Tensor, fake: Tensor, track: Track = silent) -> Tensor:
    """KID: the squared maximum mean discrepancy of features, with a polynomial kernel of degree 3.

    Bińkowski et al., "Demystifying MMD GANs" (2018), section 4, https://arxiv.org/abs/1801.01401:
    the mean over 100 random subsets of 1,000, always the same; of fewer examples, one set of all.
    Its expectation is 0 if both are of one distribution, so that it may be negative.

    Args:
        real: features, (n, d), n >= 2
        fake: features, (m, d), m >= 2
        track: shows which subset is at hand
    """
    fewest = min(len(real), len(fake))
    size, subsets = (SIZE, SUBSETS) if fewest > SIZE else (fewest, 1)
    found = []
    with isolate_rng():
        torch.manual_seed(0)
        for _ in track(range(subsets), "KID"):
            rows = [torch.randperm(len(features))[:size] for features in (real, fake)]
            found.append(discrepancy(real[rows[0]].double(), fake[rows[1]].double()))
    return torch.stack(found).mean()


def discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased squared maximum mean discrepancy, with k(x, y) = (x y / d + 1)^3.

    Gretton et al. 2012, equation 3, https://jmlr.org/papers/v13/gretton12a.html. The same number as
    torchmetrics' `poly_mmd`, which is slower, as it writes matrices (n, n) to memory.

    Args:
        x: features, (n, d)
        y: features, (n, d)
    """
    n = len(x)
    own = sum(kernel_sum(z, z) - ((z.square().mean(1) + 1) ** 3).sum() for z in (x, y))
    return own / (n * (n - 1)) - 2 * kernel_sum(x, y) / n**2


def kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    """The sum of (x y / d + 1)^3 over all pairs.

    x y / d + 1 is one product, (x / d, 1) (y, 1), so that each number is written once.
    """
    one, total = x.new_ones(len(x), 1), x.new_zeros(())
    right = torch.cat([y, one], 1).T
    for left in torch.cat([x / x.shape[1], one], 1).split(ROWS):
        linear = (left @ right).flatten()
        total = total + torch.dot(linear.square(), linear)
    return total


def frechet_distance(real: Tensor, fake: Tensor) -> Tensor:
    """FID: the squared Fréchet distance between two normal distributions, fitted to the features.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
    Equilibrium" (2017), equation 6, https://arxiv.org/abs/1706.08500. It is biased
    upwards by about 1 / n, and of little use with fewer examples than features: compare it only
    with values, and with the floor, for the same n.

    Args:
        real: features, (n, d), n >= 2
        fake: features, (m, d), m >= 2
    """
    # Not synchronised: the features are already those of all processes.
    metric = FrechetInceptionDistance(Features(real.shape[1]), sync_on_compute=False)
    metric.to(real.device)
    center = real.double().mean(0)  # far from 0, sums of squares would lose digits
    metric.update(real.double() - center, real=True)
    metric.update(fake.double() - center, real=False)
    return metric.compute()


def shares(numbers: Tensor, count: int) -> Tensor:
    """Share of each number from 0 to count - 1 among class or mode numbers (n,): (count,)."""
    return torch.bincount(numbers, minlength=count).double() / len(numbers)


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy in nats, over the last dimension: log(count) if all are equal, 0 if one is 1."""
    return torch.special.entr(probabilities).sum(-1)


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """KL(one || other) of probabilities in nats, over the last dimension."""
    return (torch.special.xlogy(one, one) - torch.special.xlogy(one, other)).sum(-1)


def classifier_score(logits: Tensor) -> Tensor:
    """exp(E KL(p(y|x) || p(y))), from 1 to the number of classes.

    Salimans et al., "Improved Techniques for Training GANs" (2016), section 4,
    https://arxiv.org/abs/1606.03498: the Inception score, of another classifier, over all samples.

    Args:
        logits: of the samples, (n, classes)
    """
    conditional = logits.double().softmax(1)
    return divergence(conditional, conditional.mean(0)).mean().exp()

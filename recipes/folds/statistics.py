"""Mean and difference over folds: their runs share training rows, which the variance has to know.

Nadeau & Bengio 2003, "Inference for the Generalization Error", section 3 and equation 9.
"""

import math
import statistics
from collections.abc import Sequence

from scipy import stats


def corrected_error(values: Sequence[float], ratio: float) -> float:
    """The standard error of a mean over folds, sqrt((1 / J + ratio) var).

    The runs' training rows overlap, so that their results are not independent; var / J alone would
    be too small.

    Args:
        values: one a fold and repeat, J of them, two or more
        ratio: test rows over the other rows, n_test / n_rest; 1 / (folds - 1)
    """
    return math.sqrt((1 / len(values) + ratio) * statistics.variance(values))


def interval(values: Sequence[float], ratio: float, share: float = 0.95) -> tuple[float, float]:
    """The confidence interval of a mean over folds, by Student's t with J - 1 degrees of freedom.

    Args:
        values: as in `corrected_error`
        ratio: likewise
        share: of such intervals that hold the true mean
    """
    mean = statistics.fmean(values)
    reach = stats.t.ppf((1 + share) / 2, len(values) - 1) * corrected_error(values, ratio)
    return mean - reach, mean + reach


def resampled_t_test(differences: Sequence[float], ratio: float) -> tuple[float, float]:
    """The corrected resampled t-test of whether differences have mean 0.

    Args:
        differences: of two methods on the same folds, as `values` in `corrected_error`
        ratio: likewise

    Returns:
        t, and the two-sided p-value; of differences that are all 0, 0 and 1
    """
    if not any(differences):
        return 0.0, 1.0
    error = corrected_error(differences, ratio)
    t = statistics.fmean(differences) / error if error else math.inf
    return t, 2 * float(stats.t.sf(abs(t), len(differences) - 1))

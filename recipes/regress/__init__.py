"""Regression: the baseline. Any network, loss and optimizer; ensembles, MC dropout, intervals.

Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep
Ensembles" (2017), https://arxiv.org/abs/1612.01474, for gaussian_nll and ensembles;
Gal & Ghahramani, "Dropout as a Bayesian Approximation" (2016), https://arxiv.org/abs/1506.02142

    loss = mean over the batch of l(network(x), y), summed over the networks of an ensemble
    l    = (y - f)^2                                   mse;  |y - f|  mae;  Huber's  huber
         = 1/2 ((y - f)^2 / v + log v + log 2 pi)      gaussian_nll, (f, v) = network(x)
         = max(q (y - f_q), (q - 1) (y - f_q))         quantile, mean over q

    prediction: f = mean of f_k,  v = mean of v_k + f_k^2 - f^2     k: networks x dropout passes

Run:      python -m recipes.regress fit --config recipes/regress/diabetes.yaml
Logs:     train/loss (of the standardised target, mean over networks; of a step, its first
          evaluation), train/evaluations (of the loss so far: one a batch, L-BFGS has more);
          val/loss likewise; in the target's own unit val/rmse, val/mae, val/nll (nats); val/r2;
          val/coverage (share within the central 90 % interval), val/calibration (mean distance of
          shares observed and wanted in those of 10 to 90 %); of several targets their means, and
          those of each under val/rmse/<target>; test/... likewise
Differs:  the mixture is taken as a Gaussian of its moments in every metric, as Lakshminarayanan et
          al. do, where Gal & Ghahramani average densities; no adversarial training; where the
          loss knows no variance, it is constant: what v lacks of the mean squared residual of the
          latest validation, kept in the checkpoint (Gal & Ghahramani search for their tau); without
          validation there is no nll, coverage or calibration. For quantile there is no nll; the
          ensemble's quantiles are the means of its networks', coverage is of the 5 and 95 %
          quantiles, calibration the mean of |share of targets below - q|
"""

from recipes.regress.module import Regress

__all__ = ["Regress"]

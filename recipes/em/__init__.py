"""Expectation maximisation: mixtures of normal distributions, or of binary values.

Dempster, Laird & Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm" (1977);
stepwise: Cappé & Moulines, "Online EM Algorithm for Latent Data Models" (2009),
https://arxiv.org/abs/0712.4273

    E-step: r_k = pi_k p(x | k) / p(x),        s_new = the sums over rows of r_k T(x)
    M-step: s <- (1 - gamma) s + gamma s_new,  theta <- the parameters whose statistics are s

Run:      python -m recipes.em fit --config recipes/em/digits.yaml
Logs:     train/loss, val/loss (-log p(x), nats a row, the mean of a batch and of all rows),
          val/components (how many of the K are in use: e^entropy of their weights); test/...
          likewise; where a step is of all rows, at each epoch's end train/log_likelihood (nats, the
          sum over rows, before the M-step) and train/bic
Differs:  an M-step is an optimizer's step: gradients hold s_new, so that accumulation and several
          processes are exact; s is kept as the parameters that it gives; no averaging of parameters
"""

from recipes.em.bernoulli import BernoulliMixture
from recipes.em.gaussian import GaussianMixture
from recipes.em.module import EM

__all__ = ["EM", "BernoulliMixture", "GaussianMixture"]

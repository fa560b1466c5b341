"""Supervised classification: the baseline, the student alone, and the way teachers are trained.

Szegedy et al., "Rethinking the Inception Architecture" (2016), section 7, for label smoothing,
https://arxiv.org/abs/1512.00567

    loss = cross_entropy(network(x), (1 - s) onehot(y) + s / classes)        s: label_smoothing

Run:      python -m recipes.classify fit --config recipes/classify/digits.yaml
Logs:     train/loss, val/loss (nats), val/accuracy (share), val/errors (count); test/... likewise
Files:    report.txt, confusion.png after test, in the run's folder
Differs:  val/loss and test/loss are without label smoothing, so that they compare
"""

from recipes.classify.module import Classify

__all__ = ["Classify"]

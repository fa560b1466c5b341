"""Feedback alignment: hidden layers learn from errors sent through fixed random matrices.

Lillicrap, Cownden, Tweed & Akerman, "Random synaptic feedback weights support error backpropagation
for deep learning" (2016), https://doi.org/10.1038/ncomms13276; direct: Nøkland, "Direct Feedback
Alignment Provides Learning in Deep Neural Networks" (2016), https://arxiv.org/abs/1609.01596

    delta_l = (W_(l+1)^T delta_(l+1)) * f'(a_l)        back-propagation
    delta_l = (B_(l+1)^T delta_(l+1)) * f'(a_l)        feedback alignment
    delta_l = (B_l^T e) * f'(a_l)                      direct feedback alignment

Run:      python -m recipes.feedback fit --config recipes/feedback/digits.yaml
Logs:     train/loss, val/loss (nats), val/accuracy (share), val/errors (count); test/... likewise;
          train/angle/<layer> (degrees, between a hidden layer's update and the true gradient)
Differs:  the last layer learns by its gradient, as in both papers; the optimizer may be any
"""

from recipes.feedback.module import Feedback
from recipes.feedback.network import FeedbackMLP

__all__ = ["Feedback", "FeedbackMLP"]

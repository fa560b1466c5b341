"""Knowledge distillation: a small student learns from a large teacher.

Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network" (2015),
https://arxiv.org/abs/1503.02531

    loss = alpha * soft(student, teacher) + (1 - alpha) * cross_entropy(student, labels)
    soft = T^2 * KL(softmax(teacher / T) || softmax(student / T))     or another of losses.py

Run:      python -m recipes.distill fit --config recipes/distill/digits.yaml
Logs:     train/soft (the term of the teacher), train/hard (cross-entropy), train/loss (their sum,
          weighted); train/teacher and train/control where these learn too; val/accuracy (student),
          val/loss (cross-entropy, nats), val/errors (count), val/teacher_accuracy,
          val/control_accuracy, val/gain (student - control), val/agreement
          (share of examples on which student and teacher choose the same class)
Differs:  one alpha for both terms, where the paper leaves the weights open, and where the papers
          of DKD, DIST and logit standardization weigh cross-entropy by 1 or 0.1 beside their own;
          in scheme `mutual` both networks are updated at once, where Zhang et al. alternate
"""

from recipes.distill.module import Distill

__all__ = ["Distill"]

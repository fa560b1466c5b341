"""A study: every optimizer x learning rate x seed x split, trained together as one batch.

Schneider, Balles & Hennig, "DeepOBS: A Deep Learning Optimizer Benchmark Suite" (2019), for the
protocol, https://arxiv.org/abs/1903.05499; Jamieson & Talwalkar, "Non-stochastic Best Arm
Identification and Hyperparameter Optimization" (2016), for halving, https://arxiv.org/abs/1502.07943

    w_k <- w_k + r_k / r (optimizer(w; r) - w)_k      member k, its rate r_k, the largest rate r
    chosen = argmin over settings of the mean over seeds of the last validation metric

Run:      python -m recipes.study fit --config recipes/study/diabetes.yaml
Logs:     train/loss, val/loss (median of all members); val/<metric>/<optimizer> (best setting so
          far); test/<metric>/<optimizer> (mean over the chosen setting's members), and
          test/ensemble_<metric>/<optimizer> (the members' predictions combined)
Files:    table.md, members.csv, chosen.csv, history.npz, study.png, test.csv in the run's folder;
          one W&B run an optimizer, in the group of the study's name; of the callback Lesson also
          lesson.png, lesson.md, lesson.npz
Differs:  a member's training is that of recipes.regress to rounding, except for dropout, whose
          masks are drawn for all members at once; seconds are a member's share of the batch's, on
          a GPU of its launches; those of callbacks in a batch, such as checkpoints, are in them
"""

from recipes.study import bayes  # noqa: F401 - known to the parser by its short name
from recipes.study.module import Study

__all__ = ["Study"]

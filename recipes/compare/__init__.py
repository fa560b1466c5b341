"""Compares runs: what differs between them, means over seeds, a picture and a page.

Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021),
https://arxiv.org/abs/2108.13264, on why single numbers of few seeds mislead

    mean, std (n - 1) of the last value over the seeds of a setting; bands: mean ± std
    difference to --baseline: mean over pairs of runs with the same seeds, 95 % bootstrap interval

Run:      python -m recipes.compare [runs or folders or a W&B entity/project] --metric val/accuracy
Reads:    run folders; W&B runs on disk (.../wandb); a project of W&B's, logged in: the same output
Files:    compare.png, compare.html (one page without a network) where the runs are; --csv FILE,
          the table with all digits
Differs:  runs that have not finished are counted beside the mean, not in it; of runs with the same
          settings and seeds, one counts
"""

"""A recipe's W&B workspace, as code: the same panels for everyone who compares its runs.

    python -m recipes.dashboard gan --entity=mine --project=lightning-recipes
    python -m recipes.dashboard gan --print > gan.json     # the same, without an account

The panels are in panels.py. Seeds of one config are one group of runs, so that a curve is their
mean in a band of a standard deviation. Validation is drawn by epoch, training by batch
(`trainer/global_step`) and, to compare batch sizes, by samples. A workspace is a view of its own
each time it is saved. Needs `pip install -e '.[dashboard]'`.
"""

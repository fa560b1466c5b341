"""A recipe's W&B workspace, as code: the same panels for everyone who compares its runs.

    python -m recipes.dashboard gan --entity=mine --project=lightning-recipes
    python -m recipes.dashboard gan --print > gan.json     # the same, without an account

The panels are in panels.py. Runs are those that have the recipe's name as a tag, in groups of one
config each: a curve is the mean over seeds, in a band of a standard deviation. What is compared:
validation by epoch, training by batch (`trainer/global_step`), batch sizes by epoch too, which is
as many samples for all. Needs `pip install -e '.[dashboard]'`.
"""

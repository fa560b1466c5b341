"""Which flags of the Trainer and which overlays work, as the pages have it."""

import re
from itertools import product

import pytest

from flags import FLAGS, REFUSED
from forks import Forked
from marks import some
from recipes.running.recipe import recipe_names

SHORT = (
    *("--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"),
    *("--trainer.enable_progress_bar=false", "--trainer.max_epochs=1", "--name=a"),
)
QUICK = [
    ("vae", "precision=bf16-true"),
    ("em", "gradient_clip_val"),
    ("study", "--config ddp_spawn"),
]


@pytest.mark.parametrize(("name", "flag"), some(product(recipe_names(), FLAGS), QUICK))
def test_a_flag_works_or_is_refused_as_the_page_says(name, flag):
    run = Forked(f"recipes.{name}", "fit", *SHORT, *FLAGS[flag])
    status, why = run.wait(), REFUSED.get(name, {}).get(flag)
    assert (status != 0) == bool(why), run.output()
    assert not why or why in run.output()
    assert not re.search(r"\b(inf|It is recommended)\b", run.output()), run.output()


def test_nothing_else_is_said_to_be_refused():
    assert set(REFUSED) <= set(recipe_names())
    assert all(set(refused) <= set(FLAGS) for refused in REFUSED.values())

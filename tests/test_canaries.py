"""Every embedded default learns: a short run lands where runs that learn do, and no other does.

What the run logs is also what its dashboard shows.
"""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
import wandb

from canaries import CANARIES, STDS, fit, latest
from marks import some
from recipes.parts.evaluation import MixtureQuality
from recipes.running.cli import main
from recipes.running.recipe import find_recipe, recipe_names
from recipes.vae.anomalies import SCORES
from trains import rows

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")
MEASURED = (
    "--trainer.callbacks+=Throughput",
    "--trainer.callbacks+=OptimizerStats",
    "--trainer.callbacks.every=2",
)
# What panels show that an embedded default on a CPU does not log: the reason.
ABSENT = {
    "throughput/peak_memory": "of GPUs",
    "^optimizer/[^/]+/clipped$": "of runs that clip",
    "system/cpu": "W&B's own",
    "system/proc.memory.rssMB": "W&B's own",
    r"^system/gpu\.[0-9]+\.gpu$": "W&B's own",
    r"^system/gpu\.[0-9]+\.memoryAllocated$": "W&B's own",
}


# The others' files, and what their dashboards show, wait for the slow suite.
BRIEF = ["distill", "dqn", "em", "feedback", "regress", "vae"]


@pytest.fixture(scope="module", params=some(recipe_names(), BRIEF))
def still(request, tmp_path_factory):
    """A few steps of an embedded default at a rate of 0, and all keys that W&B gets of it."""
    keys = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp(request.param))
        patch.setenv("WANDB_MODE", "offline")
        patch.setattr(wandb.Run, "log", lambda self, values, *args, **kwargs: keys.update(values))
        flags = (*SHORT, *CANARIES[request.param]["still"], *MEASURED)
        folder = fit(request.param, flags).resolve()
    return SimpleNamespace(recipe=request.param, folder=folder, keys=keys)


def band(recipe):
    return CANARIES[recipe]["low"], CANARIES[recipe]["high"]


# The others wait for the slow suite.
QUICK = ["distill", "em", "regress"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("recipe", some(recipe_names(), QUICK))
def test_it_learns(recipe):
    value = latest(fit(recipe, CANARIES[recipe]["flags"]), CANARIES[recipe]["metric"])
    low, high = band(recipe)
    assert low < value < high, f"{CANARIES[recipe]['metric']}: see tests/canaries.yaml"


@pytest.mark.slow
def test_without_a_learning_rate_it_is_far_outside(still):
    low, high = band(still.recipe)
    value = latest(still.folder, CANARIES[still.recipe]["metric"])
    assert abs(value - (low + high) / 2) > 2 * (high - low)


def test_every_embedded_default_leaves_its_files(still):
    assert still.folder.name == f"{find_recipe(still.recipe).default.stem}-1"
    assert {"config.yaml", "run.json", "metrics.jsonl", "checkpoints"} <= {
        path.name for path in still.folder.iterdir()
    }
    keys = {key for row in rows(still.folder) for key in row}
    assert "train/loss" in keys, "every recipe logs it, at least every 4 steps"
    assert "val/loss" in keys


def test_every_recipe_has_a_canary():
    assert set(CANARIES) == set(recipe_names())


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_band_is_two_sided(recipe):
    """No side of it is where no run can be: there it would tell nothing."""
    low, high = band(recipe)
    canary = CANARIES[recipe]
    assert high - low == pytest.approx(2 * STDS * canary["std"], rel=0.01)
    assert low > 0 and (high < 1 or "accuracy" not in canary["metric"])


def not_logged(panels, keys):
    """The log keys, and the patterns of log keys, that panels show and nothing is known of."""
    missing = []
    for panel in panels:
        config = panel._to_model().config
        names = [*getattr(config, "metrics", ()), *getattr(config, "media_keys", ())]
        missing += [name for name in names if name not in keys]
        pattern = getattr(config, "metric_regex", None)
        if pattern and not any(re.search(pattern, key) for key in keys):
            missing.append(pattern)
    return [name for name in missing if name not in ABSENT]


def test_a_dashboard_finds_its_runs_and_shows_what_they_log(still):
    facts = json.loads((still.folder / "run.json").read_text())
    assert still.recipe == facts["recipe"] == facts["tags"][0] and facts["config_hash"]
    panels = pytest.importorskip("recipes.dashboard.panels", exc_type=ImportError)
    quality = MixtureQuality()  # of the ring and the grid
    quality.centers, quality.std = torch.zeros(2, 2), 1.0
    quality.update(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4))
    keys = still.keys | {f"val/{name}" for name in quality.compute()}
    keys |= {f"val/auroc_{name}" for name in SCORES}  # of a VAE that has anomalies
    every = [p for part in panels.sections(still.recipe).values() for p in part]
    assert not_logged(every, keys) == []
    wrong = [panels.curves("", "val/los"), panels.matching("", "^lr/Adma")]
    assert not_logged([*every, *wrong], keys) == ["val/los", "^lr/Adma"]


DRAWN = {
    "diffusion": {"samples.png", "trajectory.png"},
    "dqn": {"episode.gif", "episode.png"},
    "gan": {"samples.png"},
    "language": {"sample.txt"},
    "policy_gradient": {"episode.gif", "episode.png"},
    "study": {"study.png"},
    "vae": {"latent.png", "samples.png", "reconstructions.png", "between.png"},
}


def test_a_run_killed_while_it_draws_draws_when_it_is_resumed(still, tmp_path, monkeypatch):
    """Nothing is left to train then, and the loop of training does not begin."""
    run = tmp_path / still.folder.relative_to(still.folder.parents[2])
    shutil.copytree(still.folder, run)
    files = [path for path in run.iterdir() if path.suffix in (".png", ".gif", ".txt")]
    drawn = {path: path.read_bytes() for path in files}
    assert {path.name for path in drawn} >= DRAWN.get(still.recipe, {"curves.png"})
    for path in drawn:
        path.unlink()
    monkeypatch.chdir(tmp_path)
    main(find_recipe(still.recipe).module, ["fit", f"--ckpt_path={run}/checkpoints/last.ckpt"])
    assert {path: path.read_bytes() for path in drawn} == drawn

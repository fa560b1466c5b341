"""A W&B workspace of a recipe's runs, made of panels.py: the same to the byte each time."""

import hashlib
import json

import wandb
import wandb_workspaces.workspaces as ws
import yaml
from matplotlib.colors import to_hex

from recipes.dashboard.panels import sections
from recipes.running.recipe import find_recipe

GROUPS = 50  # of runs, that a panel shows at most


def build(recipe: str, entity: str, project: str, name: str | None = None) -> ws.Workspace:
    """The workspace of a recipe's runs, not saved yet.

    Args:
        recipe: whose runs it shows
        entity: user or team of W&B
        project: of the runs
        name: of the workspace, by default recipes.<recipe>
    """
    parts = [
        ws.Section(name=title, panels=panels, is_open=number < 3)
        for number, (title, panels) in enumerate(sections(recipe).items())
    ]
    for part in parts:
        for panel in part.panels:
            # The library draws it by chance; it has to differ from those of the other panels.
            shown = f"{recipe} {part.name} {panel._to_model().config}"
            panel._id = hashlib.sha256(shown.encode()).hexdigest()[:12]
    workspace = ws.Workspace(
        entity=entity,
        project=project,
        name=name or f"recipes.{recipe}",
        sections=parts,
        settings=ws.WorkspaceSettings(x_axis="trainer/global_step", max_runs=GROUPS),
        runset_settings=runs(recipe),
    )
    workspace._internal_runset_id = recipe  # likewise
    return workspace


def runs(recipe: str) -> ws.RunsetSettings:
    """Which runs a dashboard shows, in which groups, in which colours.

    A study has a run for each optimizer, which is already a mean over seeds, and in study.png its
    colour. All other runs are grouped by all that they were configured with but the seed.
    """
    # The value of a config key with a dot in it is below the whole key. A run of some --tags has
    # only those.
    shown = ws.Or(ws.Tags().isin([recipe]), ws.Config("run.recipe.value") == recipe)
    job, config = ws.Metric("JobType"), ws.Config("run.config_hash.value")
    if recipe == "study":
        return ws.RunsetSettings(filters=shown, groupby=[job], group_colors=optimizer_colors())
    return ws.RunsetSettings(filters=shown, groupby=[job, config])


def optimizer_colors() -> dict[str, str]:
    """The colour that study.png has for each optimizer of the study's embedded default."""
    config = find_recipe("study").default
    names = yaml.safe_load(config.read_text())["model"]["optimizers"]
    return {name: to_hex(f"C{number}") for number, name in enumerate(names)}


def spec(workspace: ws.Workspace) -> str:
    """What W&B stores of a workspace, JSON."""
    # There is no public name for it; `save` sends the same.
    return json.dumps(workspace._spec["spec"], indent=1) + "\n"


def save(workspace: ws.Workspace) -> None:
    """Saves it as a new view of its project, and says where it is.

    Raises:
        ValueError: if nobody has logged in
    """
    if not wandb.login(prompt=False, verify=False):
        raise ValueError("no W&B account is known here: wandb login, or --print")
    workspace.save()
    print(workspace.url)

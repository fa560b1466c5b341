"""The dashboards: what is saved, to the byte, without an account; and saving, to a server here."""

import json
import sys
from pathlib import Path

import pytest
import wandb

from graphql import graphql
from launches import ROOT
from recipes.dashboard.__main__ import main
from recipes.running.recipe import recipe_names

panels = pytest.importorskip(
    "recipes.dashboard.panels", reason="needs: pip install -e '.[dashboard]'", exc_type=ImportError
)
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def stranger(monkeypatch, tmp_path):
    """Nobody has logged in."""
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    wandb.teardown()


@pytest.mark.parametrize("recipe", panels.RECIPES)
def test_a_dashboard_is_what_it_was(recipe, stranger, capsys):
    main([recipe, "--print"])
    golden = GOLDEN / f"dashboard-{recipe}.json"
    command = f"python -m recipes.dashboard {recipe} --print > {golden.relative_to(ROOT)}"
    assert capsys.readouterr().out == golden.read_text(), f"if that is meant: {command}"


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_has_a_dashboard_also_without_panels_of_its_own(recipe):
    titles = list(panels.sections(recipe))
    assert "Loss" in titles and "Hardware" in titles


def test_it_is_saved_where_it_was_told_to(monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE")
    wandb.teardown()
    with graphql() as (address, asked):
        monkeypatch.setenv("WANDB_BASE_URL", address)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        main(["gan", "--entity=us", "--project=ours", "--name=mine"])
    ((_, sent),) = [request for request in asked if "upsertView" in request[0]]
    assert (sent["entityName"], sent["projectName"], sent["displayName"]) == ("us", "ours", "mine")
    assert sent["type"] == "project-view"
    assert json.loads(sent["spec"]) == json.loads((GOLDEN / "dashboard-gan.json").read_text())
    assert capsys.readouterr().out.startswith(f"{address}/us/ours?nw=")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), "error: the following arguments are required: recipe"),
        (("gna",), "error: recipe: invalid choice: 'gna' (choose from 'classify', "),
        (("gan", "--entitty=us"), "error: --entitty: there is no such option; is it --entity?"),
        (("gan",), "error: --entity is missing: the W&B user or team whose project it is"),
        (("gan", "--entity=us"), "error: no W&B account is known here: wandb login, or --print"),
    ],
)
def test_a_mistake_is_one_line(args, line, stranger):
    with pytest.raises(SystemExit) as stop:
        main(list(args))
    assert str(stop.value.code).startswith(line) and "\n" not in str(stop.value.code)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    for module in [name for name in sys.modules if name.startswith("recipes.dashboard.")]:
        if not module.endswith("__main__"):
            monkeypatch.delitem(sys.modules, module)
    for module in [name for name in sys.modules if name.startswith("wandb_workspaces.")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(SystemExit, match=r"^error: .* needs: pip install -e '.\[dashboard\]'$"):
        main(["gan", "--print"])


def test_what_a_dashboard_shows():
    """Read from the file: runs of the recipe alone, seeds in one group, no other panel twice."""
    spec = json.loads((GOLDEN / "dashboard-distill.json").read_text())["section"]
    (runs,) = spec["runSets"]
    tag, config = runs["filters"]["filters"]
    assert (tag["key"]["name"], tag["op"], tag["value"]) == ("tags", "IN", ["distill"])
    assert (config["key"]["name"], config["value"]) == ("run.recipe.value", "distill")
    assert config["connector"] == "OR"
    assert [group["name"] for group in runs["grouping"]] == ["jobType", "run.config_hash.value"]
    panels = [p for s in spec["panelBankConfig"]["sections"] for p in s["panels"]]
    assert len({panel["__id__"] for panel in panels}) == len(panels)
    for panel in panels:
        (side,) = {key.partition("/")[0] for key in panel["config"]["metrics"]} or {"none"}
        if side == "val":
            assert panel["config"]["xAxis"] == "epoch"
        assert panel["config"]["groupArea"] == "stddev"

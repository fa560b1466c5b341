"""Parameter groups: who is in which, at what rate, and what a resumed run may change."""

import inspect
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from recipes.classify import Classify
from recipes.distill import Distill
from recipes.parts.clipping import clip_groups
from recipes.parts.groups import Groups, Pattern, layers_of
from recipes.parts.networks import MLP, ConvNet
from recipes.running.recipe import find_recipe, recipe_names
from trains import interrupt_after, middle_of_epoch, rows


def adamw(params):
    return torch.optim.AdamW(params, lr=0.1, weight_decay=0.5)


def made(groups, make=adamw, **networks):
    networks = networks or {"network": MLP(4, [3, 3], 2)}
    optimizer = groups.make(make, **networks)
    names = {p: f"{n}.{k}" for n, m in networks.items() for k, p in m.named_parameters()}
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, names)), "each parameter in one group"
    return {
        g["name"]: ([names[p].partition(".")[2] for p in g["params"]], g["lr"], g["weight_decay"])
        for g in optimizer.param_groups
    }


def test_the_first_pattern_that_matches_counts_and_vectors_do_not_decay():
    patterns = [Pattern("features.1.weight", rate=0.1), Pattern("features.*", 2.0, 0.25)]
    assert made(Groups(patterns)) == {
        "features.1.weight": (["features.1.weight"], pytest.approx(0.01), 0.5),
        "features.*": (["features.3.weight"], 0.2, 0.25),
        "features.*.no_decay": (["features.1.bias", "features.3.bias"], 0.2, 0.0),
        "rest": (["head.weight"], 0.1, 0.5),
        "rest.no_decay": (["head.bias"], 0.1, 0.0),
    }
    named = Groups([Pattern(r"/features\.[12]\./", 0.0, name="first")], decay_all=True)
    assert list(made(named)) == ["first", "rest"]
    assert made(named)["first"] == (["features.1.weight", "features.1.bias"], 0.0, 0.5)


def test_weights_of_norms_do_not_decay_whatever_their_shape():
    network = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm([4, 4]), nn.BatchNorm1d(4))
    found = made(Groups(), network=network)
    assert found["rest"][0] == ["0.weight"] and len(found["no_decay"][0]) == 5


def test_layers_have_the_rate_times_xi_to_the_distance_from_the_head():
    """Slowly: by hand, of two layers and a head."""
    found = made(Groups(layer_decay=0.5, decay_all=True))
    assert found == {
        "layer0": (["features.1.weight", "features.1.bias"], 0.025, 0.5),
        "layer1": (["features.3.weight", "features.3.bias"], 0.05, 0.5),
        "layer2": (["head.weight", "head.bias"], 0.1, 0.5),
    }
    both = made(Groups([Pattern("head", 10)], 0.5, decay_all=True))
    assert [rate for _, rate, _ in both.values()] == [1.0, 0.025, 0.05]
    given = made(Groups(layer_decay=0.1, layers=["features", "head"], decay_all=True))
    assert [rate for _, rate, _ in given.values()] == pytest.approx([0.01, 0.1])


def test_a_norm_is_of_the_layer_before_it_and_a_block_is_one_layer():
    layers = layers_of(ConvNet([2, 2]))
    assert [layers[f"features.{n}.weight"] for n in (0, 1, 3, 4, 7, 10)] == [0, 0, 1, 1, 2, 3]
    assert layers["head.weight"] == layers["head.bias"] == 4
    block = nn.TransformerEncoderLayer(4, 1, 4)
    network = nn.ModuleDict({"embedding": nn.Embedding(3, 4), "norm": nn.LayerNorm(4)})
    network["blocks"] = nn.ModuleList([block, nn.TransformerEncoderLayer(4, 1, 4)])
    network["head"] = nn.Linear(4, 2)
    layers = layers_of(network)
    assert {k.split(".")[0]: v for k, v in layers.items()} == {
        "embedding": 0, "norm": 0, "blocks": 2, "head": 3
    }  # fmt: skip
    assert {v for k, v in layers.items() if k.startswith("blocks.0.")} == {1}


def sgd(params):
    return torch.optim.LBFGS(params)


def rprop(params):
    return torch.optim.Rprop(params)


@pytest.mark.parametrize(
    ("groups", "make", "said"),
    [
        (Groups([Pattern("haed")]), adamw, "match=haed: no such parameter"),
        (Groups([Pattern("*"), Pattern("head")]), adamw, "match=head: what it matches is an earl"),
        (Groups(layer_decay=0.5, layers=["head", "body"]), adamw, "layers=body: no such parameter"),
        (Groups(layer_decay=0.5, layers=["head"]), adamw, "features.1.weight is in none of the la"),
        (Groups(), sgd, "LBFGS doesn't support per-parameter options"),
        (Groups([Pattern("head", weight_decay=0.1)]), rprop, "Rprop has no weight_decay"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(groups, make, said):
    with pytest.raises(ValueError, match=f"^--model.groups: {said}"):
        made(groups, make)


def test_a_network_may_be_named_and_clipping_stays_per_network():
    networks = {"student": MLP(4, [3], 2), "control": MLP(4, [3], 2)}
    found = made(Groups([Pattern("student.head", 0.5)]), **networks)
    assert found["student.student.head"][:2] == (["head.weight"], 0.05)
    assert found["control.rest"][0] == ["features.1.weight", "head.weight"]
    module = Distill(
        MLP(4, [3], 2), MLP(4, [5], 2), scheme="online", groups=Groups([Pattern("head")])
    )
    optimizer = module.configure_optimizers()
    for weight in module.parameters():
        weight.grad = torch.ones_like(weight)
    module._trainer = type("T", (), {"precision_plugin": None, "barebones": False})()
    clip_groups(module, optimizer, 0.1, "norm")
    for network in (module.student, module.teacher):
        norm = torch.nn.utils.get_total_norm([w.grad for w in network.parameters()])
        assert norm == pytest.approx(0.1, rel=1e-4)


def test_every_recipe_with_an_optimizer_has_the_argument():
    import inspect

    from recipes.running.recipe import find_recipe

    for name in recipe_names():
        arguments = inspect.signature(find_recipe(name).module).parameters
        if any(argument.endswith("optimizer") for argument in arguments):
            assert "groups" in arguments, name


# On the command line

BRIEF = ("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--model.network.channels=[4]")
GROUPS = {
    "patterns": [{"match": "head", "rate": 2.0}, {"match": "features.0", "weight_decay": 0.1}],
    "layer_decay": 0.5,
}
FLAGS = (*BRIEF, "--model.optimizer=AdamW", f"--model.groups={yaml.safe_dump(GROUPS)}")


def last(name):
    return torch.load(f"runs/classify/{name}/checkpoints/last.ckpt", weights_only=True)


def same(one, two):
    return all(torch.equal(one["state_dict"][k], v) for k, v in two["state_dict"].items())


@pytest.mark.slow
def test_a_run_with_groups_logs_them_by_name_and_resumes_identically(recipe, monkeypatch):
    recipe("classify", "fit", "--name=whole", *FLAGS)
    logged = rows(Path("runs/classify/whole"))[0]
    rates = {k.removeprefix("lr/AdamW/"): v for k, v in logged.items() if k.startswith("lr/")}
    assert rates["head.layer2"] == 4 * rates["rest.layer1.no_decay"] > 0
    assert rates["features.0.layer0"] == rates["rest.layer0.no_decay"]
    with monkeypatch.context() as patch:
        interrupt_after(13, patch)
        with pytest.raises(MemoryError):
            recipe("classify", "fit", "--name=cut", *FLAGS, *middle_of_epoch("runs/classify/cut"))
    middle = "--ckpt_path=runs/classify/cut/checkpoints/middle.ckpt"
    for changed in ("--model.groups.layer_decay=0.6", "--model.groups=null"):
        with pytest.raises(ValueError, match=r"^--model.groups.*, but the run was trained with"):
            recipe("classify", "fit", middle, changed)
    recipe("classify", "fit", middle)
    assert same(last("whole"), last("cut"))
    assert torch.load("runs/classify/cut/checkpoints/middle.ckpt", weights_only=True)


def test_a_run_without_groups_does_not_resume_with_them(recipe):
    recipe("classify", "fit", "--name=a", *BRIEF)
    with pytest.raises(ValueError, match=r"^--model.groups.*, but the run was trained with null"):
        recipe("classify", "fit", "--ckpt_path=runs/classify/a/checkpoints/last.ckpt",
               "--model.groups.layer_decay=0.5")  # fmt: skip


def test_a_changed_rate_keeps_the_groups_multiples_and_decays(tmp_path):
    from callbacks import ChangedSettings
    from trains import digits, fit

    def module(lr, decay):
        make = lambda params: torch.optim.AdamW(params, lr, weight_decay=decay)  # noqa: E731
        return Classify(MLP(64, [4]), make, groups=Groups([Pattern("head", 10)]))

    _, trainer = fit(module(0.01, 0.1), digits(), tmp_path, [ChangedSettings()])
    trainer.save_checkpoint("a.ckpt")
    _, trainer = fit(module(0.02, 0.3), digits(), tmp_path, [ChangedSettings()], max_epochs=2,
                     resume="a.ckpt")  # fmt: skip
    found = {g["name"]: (g["lr"], g["weight_decay"]) for g in trainer.optimizers[0].param_groups}
    assert found["head"] == (0.2, 0.3) and found["head.no_decay"] == (0.2, 0.0)
    assert found["rest"] == (0.02, 0.3) and found["rest.no_decay"] == (0.02, 0.0)


def test_every_recipe_with_an_optimizer_has_groups():
    """All but study, whose members have optimizers of their own."""
    for name in recipe_names():
        arguments = inspect.signature(find_recipe(name).module).parameters
        if any("optimizer" in argument for argument in arguments) and name != "study":
            assert "groups" in arguments, name

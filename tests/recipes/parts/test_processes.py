"""Two processes train what one does: every recipe, by every overlay that has several."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry

import recipes.parts.manual_ddp
from forks import ended_well, ranks
from launches import GAME, difference, weights
from marks import slow, some
from recipes.parts.manual_ddp import ManualDDP, average_gradients, manual_ddp
from trains import rows

# 33 rows for validation, which two processes have to share out without counting one twice.
# Without batch-norm and dropout, which are of each process by itself. Adam's steps divide by the
# gradient's size; where that is rounding alone, eps decides.
NETWORKS = {
    "classify": """
        --model.network=MLP --model.network.inputs=64 --model.network.widths=[32,16]
        --data.val_size=33""",
    "distill": """
        --model.student=MLP --model.student.inputs=64 --model.student.widths=[16,16,16]
        --model.teacher=MLP --model.teacher.inputs=64 --model.teacher.widths=[32,32,32]
        --model.scheme=mutual --data.labelled=null
        --data.val_size=33""",
    "regress": "--model.network.dropout=0 --model.ensemble=2 --data.val_size=0.1",
}
LARGE = """
--model.network=recipes.parts.wrappers.large --model.network.network=MLP --data.val_size=33
--model.network.network.inputs=64 --model.network.network.widths=[32,16]
"""
FROZEN = """
--model.student=MLP --model.student.inputs=64 --model.student.widths=[16] --model.scheme=frozen
--model.teacher=null --model.teacher_checkpoint=runs/classify/one-sgd/checkpoints/last.ckpt
--model.teacher_cache=off --data.val_size=33 --data.labelled=null
"""
FEW = "--data.labelled=100"  # of 1,077: each process knows another number of each batch

OPTIMIZERS = {
    "adam": "--model.optimizer=Adam --model.optimizer.eps=1e-4",
    "sgd": "--model.optimizer=SGD --model.optimizer.lr=0.1 --model.optimizer.fused=false",
    "accumulated": "--model.optimizer=SGD --model.optimizer.lr=0.1 --model.optimizer.fused=false "
    "--trainer.accumulate_grad_batches=2",
    "bf16": "--model.optimizer=SGD --model.optimizer.lr=0.1 --model.optimizer.fused=false "
    "--config=bf16",
}
GAMES = {
    "adam": "",
    "accumulated": "--trainer.accumulate_grad_batches=2 --model.generator_optimizer=SGD "
    "--model.discriminator_optimizer=SGD",
    "bf16": "--config=bf16",
    "fp16": "--config=scaled.yaml",  # a scale whose first steps overflow
}
SCALED = """
trainer:
  plugins:
    - class_path: MixedPrecision
      init_args:
        precision: 16-mixed
        device: cpu
        scaler:
          class_path: torch.amp.GradScaler
          init_args: {device: cpu, init_scale: 1.0e+10, backoff_factor: 0.001}
"""
# What every default run needs; the others' kinds are trained when a slow test asks for one.
QUICK = {
    "classify": {"sgd", "large", "few"},
    "distill": {"frozen"},
    "gan": {"adam"},
    "regress": {},
}
SHORT = "--trainer.max_epochs=1 --trainer.callbacks=fits.Placements"


def command(recipe, name, flags):
    return [recipe, "fit", f"--name={name}", *SHORT.split(), *flags.split()]


def sizes(flags, batch, steps=4):
    """Flags for some steps of an epoch: of batches that are accumulated, two of half the size."""
    parts = 2 if "accumulate" in flags else 1
    limit = f"--trainer.limit_train_batches={steps * parts}"
    return f"{flags} --data.batch_size={batch // parts} {limit}"


def is_quick(recipe, name):
    """Whether tests of the default suite look at a run."""
    strategy, _, kind = name.rpartition("-")
    return kind in QUICK[recipe] and (recipe, strategy) != ("gan", "fsdp")


def run(commands, processes, folder):
    found = ranks(processes, "fits", json.dumps(commands), folder=folder, RECIPES_DEBUG="1")
    ended_well(*found)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run by recipe and name; all that are quick, or slow, are trained at once."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "game.yaml").write_text(GAME)
    (folder / "scaled.yaml").write_text(SCALED)
    done = set()

    def found(recipe, name):
        quick = is_quick(recipe, name)
        if quick not in done:
            for processes, commands in enumerate(all_commands(), 1):
                wanted = [c for c in commands if is_quick(c[0], name_of(c)) == quick]
                run(wanted, processes, folder)
            done.add(quick)
        return folder / "runs" / recipe / name

    return found


def name_of(command):
    return command[2].removeprefix("--name=")


def all_commands():
    """Those of runs by one process, and by two."""
    alone, together = [], []
    for recipe in ("classify", "distill", "regress"):
        default = "diabetes" if recipe == "regress" else "digits"
        for kind, flags in OPTIMIZERS.items():
            base = f"--config={default} {flags} {NETWORKS[recipe]}"
            alone.append(command(recipe, f"one-{kind}", sizes(base, 64)))
            for overlay, batch in (("ddp", 32), ("fsdp", 32), ("tensor_parallel", 64)):
                together.append(
                    command(recipe, f"{overlay}-{kind}", sizes(f"{base} --config={overlay}", batch))
                )
    large = f"--config=digits {OPTIMIZERS['sgd']} {LARGE}"
    for overlay, batch in (("ddp", 32), ("fsdp", 32), ("tensor_parallel", 64)):
        flags = sizes(f"{large} --config={overlay}", batch)
        together.append(command("classify", f"{overlay}-large", flags))
    alone.append(command("classify", "one-large", sizes(large, 64)))
    few = f"--config=digits {OPTIMIZERS['sgd']} {NETWORKS['classify']} {FEW}"
    alone.append(command("classify", "one-few", sizes(few, 64)))
    together.append(command("classify", "ddp-few", sizes(f"{few} --config=ddp", 32)))
    frozen = f"--config=digits {OPTIMIZERS['sgd']} {FROZEN}"
    alone.append(command("distill", "one-frozen", sizes(frozen, 64)))
    split = sizes(f"{frozen} --model.shard_teacher=true --config=ddp", 32)
    together.append(command("distill", "ddp-frozen", split))
    strategies = ("ddp", "ddp_find_unused_parameters_true", "fsdp")
    for kind, flags in GAMES.items():
        for strategy in strategies[:2] if "16" in kind else strategies:
            chosen = "--config=ddp"
            if strategy != "ddp":  # torch's own, which the command line has by its class alone
                chosen += " --trainer.strategy=DDPStrategy"
                chosen += " --trainer.strategy.find_unused_parameters=true"
            chosen = "--config=fsdp" if strategy == "fsdp" else chosen
            together.append(
                command(
                    "gan", f"{strategy}-{kind}", sizes(f"--config=game.yaml {chosen} {flags}", 32)
                )
            )
    return alone, together


def placements(folder):
    return json.loads((folder / "placements-1.json").read_text())


@pytest.mark.parametrize("kind", [slow("adam"), "sgd", slow("accumulated")])
@pytest.mark.parametrize("overlay", ["ddp", "fsdp", "tensor_parallel"])
@pytest.mark.parametrize("recipe", some(NETWORKS, ["classify"]))
def test_two_processes_train_what_one_does(trained, recipe, overlay, kind):
    one, two = trained(recipe, f"one-{kind}"), trained(recipe, f"{overlay}-{kind}")
    assert difference(weights(one), weights(two)) < 1e-6
    assert (two / "placements-1.json").exists(), "there was a second process"
    evaluated = [{k: v for k, v in rows(run)[-1].items() if "val/" in k} for run in (one, two)]
    assert evaluated[0] and evaluated[0] == pytest.approx(evaluated[1], rel=1e-5)


def test_two_processes_learn_what_one_does_from_few_labels(trained):
    one, two, all_labels = (
        weights(trained("classify", name)) for name in ("one-few", "ddp-few", "one-sgd")
    )
    assert difference(one, two) < 1e-6 < 1e-3 < difference(one, all_labels)


@pytest.mark.slow
def test_two_processes_test_as_one(trained):
    """Scores that are no means over batches, such as R2, of batches of another size."""
    folder = trained("regress", "one-sgd").parents[2]
    tested = ["regress", "test", "--ckpt_path=runs/regress/one-sgd/checkpoints/last.ckpt"]
    run([tested], 1, folder)
    run([[*tested, "--config=ddp", "--data.batch_size=13"]], 2, folder)
    one, two = rows(trained("regress", "one-sgd"), "test")
    one.pop("checkpoint"), two.pop("checkpoint")
    assert "test/r2" in one and two == pytest.approx(one, rel=1e-5)


@pytest.mark.parametrize("recipe", some(NETWORKS, ["classify"]))
def test_every_weight_is_split(trained, recipe):
    """What the equality would not tell: a whole network on each process is equal, too."""
    assert set(placements(trained(recipe, "fsdp-sgd")).values()) == {"(Shard(dim=0),)"}
    assert set(placements(trained(recipe, "ddp-sgd")).values()) == {"Parameter"}
    split = placements(trained(recipe, "tensor_parallel-sgd"))
    assert all("Shard" in how for name, how in split.items() if "weight" in name)
    assert {"(Shard(dim=0),)", "(Shard(dim=1),)"} <= set(split.values())


@pytest.mark.slow
def test_a_sharded_run_goes_on_on_one_process(trained, recipe):
    alone = ["--trainer.strategy=auto", "--trainer.devices=1", "--data.batch_size=64"]
    for name in ("one-adam", "fsdp-adam"):
        folder = Path("runs/classify", name)
        shutil.copytree(trained("classify", name), folder)
        checkpoint = f"--ckpt_path={folder}/checkpoints/last.ckpt"
        recipe("classify", "fit", checkpoint, "--trainer.max_epochs=2", *alone)
        assert rows(folder)[-1]["epoch"] == 1
    one, two = (weights(Path("runs/classify", name)) for name in ("one-adam", "fsdp-adam"))
    assert difference(one, two) < 1e-6


@pytest.mark.parametrize("overlay", ["ddp", "fsdp", "tensor_parallel"])
def test_a_network_that_only_one_process_makes_is_the_same(trained, overlay):
    """And with activations that are computed twice, the same as with those that are kept."""
    kept, one, two = (
        weights(trained("classify", name)) for name in ("one-sgd", "one-large", f"{overlay}-large")
    )
    assert difference(kept, one) == 0
    assert difference(one, two) < 1e-6


def test_a_teacher_is_split_while_the_student_is_whole(trained):
    one, two = trained("distill", "one-frozen"), trained("distill", "ddp-frozen")
    assert difference(weights(one), weights(two)) < 1e-6
    assert set(placements(two).values()) == {"Parameter"}
    assert json.loads((two / "teacher-1.json").read_text()) == "(Shard(dim=0),)"
    evaluated = [{k: v for k, v in rows(run)[-1].items() if "val/" in k} for run in (one, two)]
    assert evaluated[0] == pytest.approx(evaluated[1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["classify", "distill", "regress"])
def test_accumulated_batches_are_one(trained, recipe):
    one, halves = (trained(recipe, f"one-{kind}") for kind in ("sgd", "accumulated"))
    assert difference(weights(one), weights(halves)) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["ddp", "fsdp", "tensor_parallel"])
@pytest.mark.parametrize("recipe", ["classify", "distill", "regress"])
def test_bfloat16_differs_by_its_rounding(trained, recipe, overlay):
    """Not more between one and two processes than bfloat16 itself makes on one."""
    exact, one, two = (
        weights(trained(recipe, name)) for name in ("one-sgd", "one-bf16", f"{overlay}-bf16")
    )
    rounding = difference(exact, one)
    assert 0 < rounding < 0.01
    assert difference(one, two) < 2 * rounding


@pytest.mark.parametrize("kind", some(GAMES, ["adam"]))
def test_ddp_plays_the_game_of_torch_s_own(trained, kind):
    """That one looks for unused parameters in every pass: an independent implementation."""
    ours, torchs = (
        trained("gan", f"{strategy}-{kind}")
        for strategy in ("ddp", "ddp_find_unused_parameters_true")
    )
    assert difference(weights(ours), weights(torchs)) < 1e-6
    one, two = (torch.load(ours / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    trainable = [name for name in one if "running" not in name]
    assert all(torch.equal(one[name], two[name]) for name in trainable)
    if kind == "fp16":
        saved = torch.load(ours / "checkpoints/last.ckpt", weights_only=True)
        scale = saved["MixedPrecision"]["scale"]
        assert 1 < scale < 1e9, "steps were skipped, on both processes, and then some were not"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adam", "accumulated"])
def test_sharded_networks_play_the_same_game(trained, kind):
    ours, sharded = (trained("gan", f"{strategy}-{kind}") for strategy in ("ddp", "fsdp"))
    assert difference(weights(ours), weights(sharded)) < 1e-6
    assert set(placements(sharded).values()) == {"(Shard(dim=0),)"}


def test_a_gradient_that_one_process_lacks_is_that_of_the_others(monkeypatch):
    """As if another process had the gradients 4, 2 and none for weights of one number each."""
    given = {"both": 2.0, "other": None, "none": None}
    weights = {name: torch.nn.Parameter(torch.zeros(1)) for name in given}
    for name, value in given.items():
        weights[name].grad = None if value is None else torch.tensor([value])
    frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    other = torch.tensor([4.0, 2.0, 0.0, 1.0, 1.0, 0.0])  # and which of them it has
    monkeypatch.setattr(recipes.parts.manual_ddp.dist, "all_reduce", lambda flat: flat.add_(other))
    monkeypatch.setattr(recipes.parts.manual_ddp.dist, "get_world_size", lambda: 2)
    average_gradients([*weights.values(), frozen])
    assert weights["both"].grad == 3 and weights["other"].grad == 1
    assert weights["none"].grad is None, "so that no optimizer decays it"


def test_ddp_of_the_command_line_is_ours_for_a_while():
    before = dict(StrategyRegistry)
    with manual_ddp():
        for name in [name for name in before if name.startswith("ddp")]:
            strategy = StrategyRegistry.get(name)
            assert isinstance(strategy, ManualDDP)
            assert strategy._start_method == before[name]["init_params"]["start_method"]
    assert dict(StrategyRegistry) == before
    assert type(StrategyRegistry.get("ddp")) is DDPStrategy


def test_two_processes_write_what_one_does(recipe):
    """33 rows in batches that are not of one size; no row twice, in order."""
    size = "--data.test_size=0.075"
    recipe("regress", "fit", "--name=a", size, "--trainer.max_epochs=1")
    flags = ["--ckpt_path=runs/regress/a/checkpoints/last.ckpt", size, "--data.batch_size=5"]
    recipe("regress", "predict", *flags, "--output=one.csv")
    flags += ["--trainer.devices=2", "--trainer.strategy=ddp", "--output=two.csv"]
    ended_well(*ranks(2, "recipes.regress", "predict", *flags))
    one, two = (
        list(csv.DictReader(Path(f"{n}.csv").read_text().splitlines())) for n in ("one", "two")
    )
    assert len(one) == 33 and [row["target"] for row in one] == [row["target"] for row in two]
    assert list(one[0]) == list(two[0])
    for row, other in zip(one, two, strict=True):
        assert [float(cell) for cell in row.values()] == pytest.approx(
            [float(cell) for cell in other.values()], rel=1e-5
        )
    assert not list(Path().rglob("*.partial"))

"""Unfreeze: what is frozen stays bit for bit, whatever else acts; and it resumes, by epochs too."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import BackboneFinetuning

from callbacks import EMA, L1, GradientClip, LRDecay, MaxNorm, OptimizerStats, Unfreeze
from forks import ended_well, ranks
from launches import difference, weights
from marks import slow
from recipes.classify import Classify
from recipes.parts.groups import Groups, Pattern
from recipes.parts.networks import ConvNet
from trains import digits, fit, interrupt_after, middle_of_epoch, rows

DECAYING = {"lr": 0.01, "weight_decay": 0.5}


def adamw(params):
    return torch.optim.AdamW(params, **DECAYING)


def net():
    torch.manual_seed(0)
    return ConvNet([4, 4], dropout=0.5)


class Seen(Callback):
    """The network's tensors, and what is in training mode, after each batch."""

    def __init__(self):
        self.states, self.modes = [], []

    def on_train_batch_end(self, trainer, pl_module, *args):
        found = pl_module.network.state_dict()
        self.states.append({name: value.clone() for name, value in found.items()})
        self.modes.append({n for n, m in pl_module.network.named_modules() if m.training})

    def still(self, batch):
        """What has not moved by the end of a batch, of the state before the first."""
        return {n for n, v in self.states[batch].items() if torch.equal(v, self.first[n])}

    def on_train_start(self, trainer, pl_module):
        found = pl_module.network.state_dict()
        self.first = {name: value.clone() for name, value in found.items()}


def seen(tmp_path, schedule, *others, make=adamw, **options):
    watch = Seen()
    callbacks = [watch, *others, Unfreeze(schedule)]
    module, trainer = fit(Classify(net(), make, **options), digits(), tmp_path, callbacks)
    return watch, module, trainer


BODY = {name for name in net().state_dict() if name.startswith("features")}


def test_a_probe_moves_the_head_alone_and_no_statistics(tmp_path):
    watch, module, trainer = seen(tmp_path, {"head": 0})
    assert watch.still(-1) == BODY
    assert all(modes == {"", "head"} for modes in watch.modes)
    assert all(parameter.requires_grad for parameter in module.parameters()), "as before"
    groups = trainer.optimizers[0].param_groups
    assert [(g["name"], g["lr"], len(g["params"])) for g in groups] == [
        ("head", 0.01, 2), ("frozen", 0.0, 12)]  # fmt: skip
    assert not trainer.optimizers[0].state.keys() & set(module.network.features.parameters())


def test_layers_are_trained_from_their_step_on(tmp_path):
    """The first convolution of the second block from batch 4, the rest of the body from batch 8."""
    watch, _, _ = seen(tmp_path, {"head": 0, "features.7": 4, "features": 8})
    assert watch.still(3) == BODY
    assert BODY - watch.still(4) == {"features.7.weight"}
    assert watch.still(7) == BODY - {"features.7.weight"}
    assert not {name for name in watch.still(8) if name.endswith("weight")}
    assert [watch.modes[b] >= {"features.1", "features.15"} for b in (7, 8)] == [False, True]


def test_a_rate_of_zero_in_the_logs_and_the_groups_names(tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(tmp_path)
    groups = Groups([Pattern("head", 2.0)])
    module = Classify(net(), adamw, groups=groups)
    given = {"logger": logger, "log_every_n_steps": 1, "limit_train_batches": 4}
    fit(module, digits(), tmp_path, [LRDecay("constant"), Unfreeze({"head": 0, "*": 2})], **given)
    text = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    names = text[0].split(",")
    assert {"lr/AdamW/head.head", "lr/AdamW/rest.*", "lr/AdamW/rest.no_decay.*"} <= set(names)
    column = names.index("lr/AdamW/rest.*")
    rates = [float(line.split(",")[column]) for line in text[1:] if line.split(",")[column]]
    assert rates == pytest.approx([0, 0, 0.01, 0.01])


@pytest.mark.parametrize(
    "other",
    [
        [L1(0.1)],
        [MaxNorm(0.1)],
        [LRDecay("cosine")],
        [EMA("network", 5)],
        [OptimizerStats(every=2), GradientClip(0.1)],
    ],
    ids=lambda other: type(other[0]).__name__,
)
def test_no_other_callback_moves_what_is_frozen(other, tmp_path):
    watch, _, _ = seen(tmp_path, {"head": 0}, *other)
    assert watch.still(-1) == BODY
    for average in (c for c in other if isinstance(c, EMA)):
        for name in BODY - {n for n in BODY if "num_batches" in n}:
            assert torch.equal(average.average[name], watch.first[name]), name


def test_every_optimizer_leaves_what_is_frozen(tmp_path):
    made = [
        lambda params: torch.optim.SGD(params, 0.1, momentum=0.9, weight_decay=0.5),
        lambda params: torch.optim.Adam(params, 0.1, weight_decay=0.5, fused=True),
        lambda params: torch.optim.RMSprop(params, 0.1, weight_decay=0.5),
    ]
    for make in made:
        assert seen(tmp_path, {"head": 0}, make=make)[0].still(-1) == BODY


def test_a_validation_or_a_call_of_train_does_not_end_evaluation_mode(tmp_path):
    class Train(Callback):
        def on_validation_end(self, trainer, pl_module):
            pl_module.train()

    watch, callbacks = Seen(), [Train()]
    callbacks += [watch, Unfreeze({"head": 0})]
    module = Classify(net(), adamw)
    fit(module, digits(), tmp_path, callbacks, val_check_interval=4, max_epochs=2)
    assert watch.still(-1) == BODY and all(modes == {"", "head"} for modes in watch.modes)


def test_an_ensembles_networks_are_named_as_one(tmp_path):
    from recipes.parts.networks import MLP
    from recipes.regress import Regress

    torch.manual_seed(0)
    module = Regress(lambda: MLP(10, [4], 1), ensemble=2)
    module._trainer = None
    unfreeze = Unfreeze({"head": 0})
    names = [name for name, _ in module.named_parameters()]
    places = {name: unfreeze._place(module, name) for name in names}
    assert {name for name, place in places.items() if place == 0} == {
        f"network.{n}.head.{kind}" for n in (0, 1) for kind in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("schedule", "module", "said"),
    [
        ({"haed": 0}, "", "haed: no such parameter is trained"),
        ({"head": 0, "head.weight": 3, "head.*": 1}, "", "head: no such parameter is trained"),
        ({"head": "1ep"}, "", "nothing is trained from the start: give a 0"),
        ({"head": 0}, "student", "module=student: there is no such, but network"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(schedule, module, said, tmp_path):
    with pytest.raises(ValueError, match=f"^Unfreeze.*{said}"):
        fit(Classify(net()), digits(), tmp_path, [Unfreeze(schedule, module)])


def test_lbfgs_and_a_scheduler_of_the_modules_own_are_refused(tmp_path):
    with pytest.raises(ValueError, match="LBFGS searches along all"):
        fit(Classify(net(), torch.optim.LBFGS), digits(), tmp_path, [Unfreeze({"head": 0})])


def test_accumulated_batches_are_thawed_with_their_step(tmp_path):
    watch = Seen()
    callbacks = [watch, Unfreeze({"head": 0, "features": 3})]
    fit(Classify(net(), adamw), digits(), tmp_path, callbacks, accumulate_grad_batches=4,
        limit_train_batches=8)  # fmt: skip
    assert watch.still(3) == BODY and watch.modes[3] == {"", "head"}
    assert "features.7" in watch.modes[4] and "features.7.weight" not in watch.still(7)


# What Lightning's own callback does instead


class Backbone(Classify):
    """As BackboneFinetuning wants it: the backbone is in no group at first."""

    @property
    def backbone(self):
        return self.network.features

    def configure_optimizers(self):
        return self.optimizer(self.network.head.parameters())


class WithoutBatchNorm(BackboneFinetuning):
    """As its pages say."""

    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.backbone, train_bn=False)


def stock(tmp_path, kind):
    watch = Seen()
    callback = kind(unfreeze_backbone_at_epoch=9, train_bn=False)
    fit(Backbone(net(), adamw), digits(), tmp_path, [callback, watch])
    return watch


def test_lightnings_own_moves_running_statistics(tmp_path):
    """The negative control: pytorch-lightning #21531, train_bn=False is ignored at first."""
    moved = {
        name.rpartition(".")[2] for name in BODY - stock(tmp_path, BackboneFinetuning).still(-1)
    }
    assert {"running_mean", "running_var"} <= moved


def test_lightnings_own_leaves_frozen_layers_in_training_mode(tmp_path):
    """The negative control, #15062: batches are normalised by themselves, with dropout."""
    watch = stock(tmp_path, WithoutBatchNorm)
    assert watch.still(-1) == BODY and {"features.1", "features.15"} <= watch.modes[-1]


# On the command line

FLAGS = (
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
    "--model.network.channels=[4,4]",
)
FLAGS += ("--model.network.dropout=0.2", "--trainer.val_check_interval=6")


def config(*others, schedule, form="cosine"):
    decay = {"class_path": "LRDecay", "init_args": {"schedule": form}}
    listed = [decay, *others]
    listed += [{"class_path": "Unfreeze", "init_args": {"schedule": schedule}}]
    Path("unfreeze.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": listed}}))
    return "--config=unfreeze.yaml"


@pytest.mark.parametrize("batches", [13, slow(25)])
def test_a_run_interrupted_before_or_after_thawing_resumes_identically(
    batches, recipe, monkeypatch
):
    schedule = {"head": 0, "features.7": 7, "features": "1ep"}
    ema = {"class_path": "EMA", "init_args": {"module": "network", "half_life": 5}}
    flags = ("--config=digits", config(ema, schedule=schedule), *FLAGS)
    recipe("classify", "fit", "--name=whole", *flags)
    with monkeypatch.context() as patch:
        interrupt_after(batches, patch)
        with pytest.raises(MemoryError):
            recipe("classify", "fit", "--name=cut", *flags, *middle_of_epoch("runs/classify/cut"))
    recipe("classify", "fit", "--ckpt_path=runs/classify/cut/checkpoints/middle.ckpt")
    one, two = (
        torch.load(f"runs/classify/{name}/checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "cut")
    )
    assert all(torch.equal(one["state_dict"][k], v) for k, v in two["state_dict"].items())
    averages = [saved["callbacks"]["EMA{network}"]["average"] for saved in (one, two)]
    assert all(torch.equal(averages[0][k], v) for k, v in averages[1].items())
    logged = [
        [{k: v for k, v in row.items() if "/s" not in k} for row in rows(Path("runs/classify", n))]
        for n in ("whole", "cut")
    ]
    assert logged[0] == logged[1]
    rates = [row["lr/Adam/features"] for row in logged[0] if "lr/Adam/features" in row]
    assert rates == [0.0] * 16, "and then all rates are one"


def test_what_has_begun_stays_as_it_was_on_resume(recipe, monkeypatch):
    """Another length of layers that are trained already is refused; a share of a longer run not."""
    schedule = {"head": 0, "features.7": "25%", "features": "1ep"}
    flags = ("--config=digits", config(schedule=schedule), *FLAGS[:3])
    flags += ("--trainer.limit_train_batches=4",)
    recipe("classify", "fit", "--name=a", *flags)
    last = "--ckpt_path=runs/classify/a/checkpoints/last.ckpt"
    changed = config(schedule=schedule | {"features": 3})
    with pytest.raises(ValueError, match=r"features: 3: the run has trained it from 1ep on"):
        recipe("classify", "fit", last, changed, "--trainer.max_epochs=4")
    starts = []
    monkeypatch.setattr(Unfreeze, "on_train_end", lambda self, *_: starts.append(self.starts))
    recipe("classify", "fit", last, "--trainer.max_epochs=4")
    assert [sorted(each) for each in starts] == [[0, 2, 4]], (
        "a quarter of four epochs would be four batches"
    )


def test_what_stays_as_initialised_or_frozen_is_said(recipe, caplog):
    flags = ("--config=digits", *FLAGS[:3], "--trainer.limit_train_batches=4")
    given = config(schedule={"head": 0, "features": "5ep"})
    recipe("classify", "fit", "--name=old", *flags)
    assert "Unfreeze" not in caplog.text
    recipe("classify", "fit", "--name=a", *flags, given)
    assert "Unfreeze: what is frozen is as initialised: give it --model.weights" in caplog.text
    assert "Unfreeze: features: 5ep is behind the run's end: it stays frozen" in caplog.text
    caplog.clear()
    weights = "--model.weights=runs/classify/old/network.pt"
    recipe("classify", "fit", "--name=b", *flags, given, weights)
    assert "what is frozen" not in caplog.text


def test_another_schedule_on_resume_is_one_line(recipe):
    flags = ("--config=digits", config(schedule={"head": 0}), *FLAGS[:3])
    recipe("classify", "fit", "--name=a", *flags)
    last = "--ckpt_path=runs/classify/a/checkpoints/last.ckpt"
    changed = config(schedule={"head": 0, "features.0": 3})
    with pytest.raises(ValueError, match=r"trained with the parameter groups head \(2\), frozen"):
        recipe("classify", "fit", last, changed, "--trainer.max_epochs=3")


MLP = ("--model.network=MLP", "--model.network.widths=[16,16]", "--model.network.dropout=0")
LATER = {"head": 0, "features.3": 5, "features": 11}
DECAY = (
    "--model.optimizer=AdamW",
    "--model.optimizer.lr=0.01",
    "--model.optimizer.weight_decay=0.5",
)


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["ddp", "fsdp"])
def test_two_processes_thaw_as_one_does_and_resume(overlay, recipe):
    """Also of a run that was cut before a layer was thawed (pytorch-lightning #20340)."""
    flags = ("fit", "--config=digits", config(schedule=LATER, form="constant"), *MLP, *DECAY)
    flags += ("--trainer.max_steps=20",)
    recipe("classify", *flags, "--name=one")
    two = (f"--config={overlay}", "--data.batch_size=32", "--trainer.callbacks+=ModelCheckpoint")
    two += ("--trainer.callbacks.every_n_train_steps=4", "--trainer.callbacks.save_top_k=-1")
    two += ("--trainer.callbacks.filename={step}",)
    ended_well(*ranks(2, "recipes.classify", *flags, *two, "--name=two"))
    folder = Path("runs/classify")
    one, whole = weights(folder / "one"), weights(folder / "two")
    assert difference(one, whole) < 1e-5
    saved = {path.stem: path for path in (folder / "two").rglob("step=*.ckpt")}
    first, second, third = (
        torch.load(saved[f"step={n}"], weights_only=True)["state_dict"] for n in (4, 8, 12)
    )
    for name in ("network.features.1.weight", "network.features.1.bias"):
        assert torch.equal(first[name], second[name]) and not torch.equal(second[name], third[name])
    assert not torch.equal(first["network.features.3.weight"], second["network.features.3.weight"])
    for steps in (4, 8):
        shutil.copytree(folder / "two", folder / f"cut{steps}")
        path = folder / f"cut{steps}" / saved[f"step={steps}"].relative_to(folder / "two")
        ended_well(*ranks(2, "recipes.classify", "fit", f"--ckpt_path={path}"))
        assert difference(weights(folder / f"cut{steps}"), whole) == 0

"""A study: each member against the same configuration trained alone, and what happens to many."""

import time
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn, optim
from torch.optim.lr_scheduler import LambdaLR

from callbacks import LRDecay
from datamodules import Diabetes, Quadratic
from marks import slow, some
from recipes.parts.networks import MLP, LinearModel, QuadraticModel
from recipes.regress import Regress
from recipes.study import Study
from recipes.study.batching import summary
from recipes.study.bayes import Bayes
from recipes.study.finalists import training_metrics
from recipes.study.part import Part
from recipes.study.search import Grid, Random, Setting

pytestmark = pytest.mark.usefixtures("undrawn")

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
EPOCHS = 8


def small(dropout=0.0):
    return MLP(10, [8, 6], 1, dropout=dropout)


def adafactor(parameters, lr=0.01):
    return optim.Adafactor(parameters, lr=lr)


OPTIMIZERS = {  # and a rate that trains
    "SGD": (partial(optim.SGD), 0.05),
    "momentum": (partial(optim.SGD, momentum=0.9), 0.01),
    "damped": (partial(optim.SGD, momentum=0.9, dampening=0.5, weight_decay=0.1), 0.01),
    "Nesterov": (partial(optim.SGD, momentum=0.9, nesterov=True), 0.01),
    "Adagrad": (partial(optim.Adagrad, lr_decay=0.01), 0.05),
    "Adadelta": (partial(optim.Adadelta), 1.0),
    "RMSprop": (partial(optim.RMSprop, momentum=0.5, centered=True), 0.003),
    "Adam": (partial(optim.Adam, weight_decay=0.01), 0.01),
    "amsgrad": (partial(optim.Adam, amsgrad=True, betas=(0.8, 0.99)), 0.01),
    "fused": (partial(optim.Adam, fused=True), 0.01),
    "AdamW": (partial(optim.AdamW, weight_decay=0.5), 0.01),
    "NAdam": (partial(optim.NAdam), 0.01),
    "RAdam": (partial(optim.RAdam), 0.01),
    "Adamax": (partial(optim.Adamax), 0.02),
    "Rprop": (partial(optim.Rprop), 0.01),
    "ASGD": (partial(optim.ASGD, lambd=0.01, t0=3), 0.05),
    "Adafactor": (partial(optim.Adafactor), 0.05),
    "LBFGS": (partial(optim.LBFGS, max_iter=5), 0.5),
    "wolfe": (partial(optim.LBFGS, max_iter=4, line_search_fn="strong_wolfe"), 1.0),
}
FULL = ("LBFGS", "wolfe", "Rprop")


def alone(make, rate, seed, split=0, network=small, callbacks=(), loss="mse", **data):
    """Parameters of one configuration trained by recipes.regress, as a vector, and its metrics."""
    seed_everything(seed)
    module = Regress(network, lambda params: make(params, lr=rate), loss=loss)
    trainer = Trainer(max_epochs=EPOCHS, callbacks=list(callbacks), **QUIET)
    trainer.fit(module, Diabetes(split=split, seed=seed, **data))
    vector = nn.utils.parameters_to_vector(module.network.parameters()).detach()
    metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
    return vector, metrics | {"evaluations": module.evaluations}


def together(optimizers, search, epochs=EPOCHS, network=small, data=None, flags=None, **options):
    """A study that has been trained."""
    study = Study(network, optimizers, search, **options)
    trainer = Trainer(max_epochs=epochs, **{**QUIET, **(flags or {})})
    trainer.fit(study, Diabetes(**(data or {})))
    return study


class Scheduled(Callback):
    """A scheduler of torch's, stepped in every batch."""

    def __init__(self, make):
        self.make = make

    def on_train_start(self, trainer, pl_module):
        self.scheduler = self.make(trainer.optimizers[0])

    def on_train_batch_end(self, *args):
        self.scheduler.step()


def members(study):
    """Each member of the latest round with its weights."""
    return [
        (member, study.population.weights_of([number])[0])
        for number, member in zip(study.population.ids, study.population.members, strict=True)
    ]


@pytest.mark.parametrize("name", some(OPTIMIZERS, ["AdamW"]))
def test_each_member_is_the_same_configuration_trained_alone(name, tmp_path, monkeypatch):
    """Two rates, two seeds and two splits of one optimizer, to 1e-5; full batch where needed."""
    make, rate = OPTIMIZERS[name]
    data = {"batch_size": "full" if name in FULL else 50}
    rates = [rate, rate / 1000]
    if make.func is optim.LBFGS:  # which makes any difference in rounding larger
        monkeypatch.setitem(QUIET, "precision", "64-true")
        rates = [rate, rate / 3]
    study = together(
        {name: make},
        Grid(rates),
        seeds=[0, 3],
        splits=[0, 1],
        data=data,
        flags={"default_root_dir": tmp_path},
    )
    assert len(study.population.members) == 8
    for member, weights in members(study)[1::3]:  # of each rate, seed and split
        expected, metrics = alone(
            make, member.trial.learning_rate, member.seed, member.split, **data
        )
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)
        number = study.records[0].members.index(member)
        assert study.records[0].latest("evaluations", number) == metrics["evaluations"]
        for key in ("val/loss", "val/rmse", "val/mae"):
            assert study.records[0].latest(key, number) == pytest.approx(metrics[key], rel=1e-4)


@pytest.mark.slow
def test_an_optimizer_that_is_not_proportional_would_be_noticed(monkeypatch, tmp_path):
    """The negative control: ASGD lowers a larger rate by more."""
    from recipes.study import batching as module

    make = partial(optim.ASGD, lambd=1.0)
    monkeypatch.setattr(module, "PROPORTIONAL", (*module.PROPORTIONAL, optim.ASGD))
    study = together({"ASGD": make}, Grid([0.2, 0.05]), seeds=[0])
    largest, other = (
        (weights - alone(make, m.trial.learning_rate, 0)[0]).abs().max()
        for m, weights in members(study)
    )
    assert largest < 1e-5 < 1e-3 < other


class Stepped(Callback):
    """A user's own: a tenth of all rates after 16 batches each."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = 0.1 ** (trainer.fit_loop.total_batch_idx // 16)


@pytest.mark.parametrize("make", some([optim.AdamW, optim.Adam, partial(optim.ASGD, t0=3)], 1))
def test_weight_decay_differs_between_members(make, tmp_path):
    """With rates that a schedule and a callback change, which a decoupled decay follows."""
    study = together(
        {"it": make},
        Grid([0.01], [0.0, 0.3, 1.0]),
        seeds=[1],
        schedules={"exponential": LRDecay("exponential", gamma=0.98, every=1)},
        flags={"default_root_dir": tmp_path, "callbacks": [Stepped()]},
    )
    both = partial(LambdaLR, lr_lambda=lambda batch: 0.98**batch * 0.1 ** (batch // 16))
    for member, weights in members(study):
        decayed = partial(make, weight_decay=member.trial.weight_decay)
        expected, _ = alone(decayed, 0.01, 1, callbacks=[Scheduled(both)])
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [optim.SGD, slow(partial(optim.ASGD, lambd=0.1, t0=3))])
def test_schedules_differ_between_members(make, tmp_path):
    def decays():
        return {"cosine": LRDecay("cosine", warmup=3), "step": LRDecay("step", every="2ep")}

    study = together(
        {"SGD": make},
        Grid([0.05, 0.02]),
        seeds=[2],
        schedules=decays(),
        flags={"default_root_dir": tmp_path},
    )
    assert len(study.population.members) == 4
    for member, weights in members(study):
        callbacks = [decays()[member.trial.schedule]]
        expected, _ = alone(make, member.trial.learning_rate, 2, callbacks=callbacks)
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [optim.Adam, slow(partial(optim.ASGD, lambd=0.1, t0=3))])
def test_a_callback_scales_all_members(make, tmp_path):
    study = together(
        {"Adam": make},
        Grid([0.03, 0.01]),
        seeds=[0],
        flags={"default_root_dir": tmp_path, "callbacks": [LRDecay(warmup="10%")]},
    )
    for member, weights in members(study):
        expected, _ = alone(make, member.trial.learning_rate, 0, callbacks=[LRDecay(warmup="10%")])
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_networks_of_several_shapes_and_optimizers_share_a_study(tmp_path, monkeypatch):
    wide = partial(MLP, 10, [12], 1)
    makers = {"Adam": optim.Adam, "LBFGS": partial(optim.LBFGS, max_iter=3)}
    study = together(
        makers,
        Grid([0.1]),
        seeds=[0, 1],
        networks={"wide": wide, "linear": partial(LinearModel, 10)},
        data={"batch_size": "full"},
        flags={"default_root_dir": tmp_path, "precision": "64-true"},
    )
    assert len(study.population.members) == 12
    assert "LBFGS: 6, one by one, in 6 groups" in summary(study.makers, study.population.groups)
    monkeypatch.setitem(QUIET, "precision", "64-true")
    for member, weights in members(study):
        network = {"": small, "wide": wide, "linear": partial(LinearModel, 10)}[
            member.trial.network
        ]
        make = makers[member.trial.optimizer]
        expected, _ = alone(make, 0.1, member.seed, network=network, batch_size="full")
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", some(["gaussian_nll", "huber", "mae"], 1))
def test_other_losses(loss, tmp_path):
    network = partial(MLP, 10, [8], 2 if loss == "gaussian_nll" else 1)
    study = together(
        {"Adam": optim.Adam},
        Grid([0.01]),
        seeds=[0, 1],
        network=network,
        loss=loss,
        flags={"default_root_dir": tmp_path},
    )
    for member, weights in members(study):
        expected, metrics = alone(optim.Adam, 0.01, member.seed, network=network, loss=loss)
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)
        number = study.records[0].members.index(member)
        for key in ("loss", "rmse", "nll"):
            found = study.records[0].latest(f"val/{key}", number)
            assert found == pytest.approx(metrics[f"val/{key}"], rel=1e-4)


@pytest.mark.parametrize("algorithm", [slow("norm"), "value"])
def test_clipping_and_accumulation_are_of_each_member(algorithm, tmp_path):
    flags = {
        "gradient_clip_val": {"norm": 0.3, "value": 0.02}[algorithm],
        "gradient_clip_algorithm": algorithm,
        "accumulate_grad_batches": 2,
    }
    study = together(
        {"SGD": optim.SGD},
        Grid([0.5, 0.1]),
        seeds=[0],
        flags={"default_root_dir": tmp_path, **flags},
    )
    assert study.trainer.global_step == EPOCHS * 4  # of 8 batches
    seed_everything(0)
    for member, weights in members(study):
        seed_everything(0)
        module = Regress(small, lambda p, m=member: optim.SGD(p, lr=m.trial.learning_rate))
        Trainer(max_epochs=EPOCHS, **QUIET, **flags).fit(module, Diabetes())
        expected = nn.utils.parameters_to_vector(module.network.parameters()).detach()
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rate", [slow(1e30), 3e38])  # all others' updates would overflow
def test_a_member_that_diverges_changes_no_other(rate, tmp_path):
    heavy = partial(optim.SGD, momentum=0.9)
    flags = {"default_root_dir": tmp_path}
    with_it = together({"SGD": heavy}, Grid([rate, 0.05]), seeds=[0, 1], flags=flags)
    without = together({"SGD": heavy}, Grid([0.05]), seeds=[0, 1], flags=flags)
    record = with_it.records[0]
    assert record.diverged.tolist() == [True, True, False, False]
    assert all(weights.isfinite().all() for weights in with_it.population.weights)
    assert record.scores("rmse").isinf().tolist() == [True, True, False, False]
    for i in (0, 1):
        torch.testing.assert_close(
            with_it.population.weights_of([2 + i])[0],
            without.population.weights_of([i])[0],
            rtol=1e-6,
            atol=1e-6,
        )


def test_a_loss_that_overflows_ends_a_member(tmp_path):
    """Its gradient is finite for once, and in float32 its loss is not."""
    study = together(
        {"SGD": optim.SGD},
        Grid([1e24, 0.05]),
        epochs=1,
        seeds=[0],
        network=partial(LinearModel, 10),
        flags={"default_root_dir": tmp_path, "limit_train_batches": 2, "max_steps": 2},
    )
    (record,) = study.records
    assert record.lost.tolist() == [True, False]
    assert study.trainer.global_step == 2


def test_a_step_that_overflows_is_taken_back(tmp_path):
    """The member ends where it was, whatever its momentum would do."""
    study = together(
        {"momentum": partial(optim.SGD, momentum=0.9), "SGD": optim.SGD},
        Grid({"momentum": [3e38], "SGD": [0.01]}),
        epochs=1,
        seeds=[0],
        network=partial(LinearModel, 10),
        flags={"default_root_dir": tmp_path, "limit_train_batches": 3},
    )
    assert study.records[0].lost.tolist() == [True, False]
    assert not members(study)[0][1].any(), "a linear model starts at zero"


def test_members_are_taken_out_when_all_gradients_are_there(tmp_path, monkeypatch):
    """Those of a batch that is only accumulated are this process's alone."""
    steps, mask = [], Part.mask
    study = Study(small, {"SGD": optim.SGD}, Grid([0.1]), seeds=[0])

    def spy(part):
        steps.append(study.population.progress.batches)
        mask(part)

    monkeypatch.setattr(Part, "mask", spy)
    flags = {**QUIET, "accumulate_grad_batches": 3, "default_root_dir": tmp_path}
    Trainer(max_epochs=1, **flags).fit(study, Diabetes())
    assert steps == [3, 6, 8]


@pytest.mark.parametrize("case", some(["whole groups are dropped", "64-true", "a new round"], 1))
def test_a_study_resumes_where_its_members_change(case, tmp_path):
    """From the end of an epoch in which they do, and in the precision of the run."""
    makers = {"Adam": optim.Adam, "Rprop": optim.Rprop, "LBFGS": partial(optim.LBFGS, max_iter=2)}
    options = {"seeds": [0, 1], "halving": 2, "rungs": 1}
    search, flags = Grid([0.3, 0.1, 1e-2, 1e-3]), dict(QUIET)
    if case == "a new round":
        search, options = Bayes(rounds=2, trials=3), {"seeds": [0, 1]}
    elif case == "64-true":
        flags["precision"], options = case, {"seeds": [0, 1]}
    del flags["enable_checkpointing"]
    found = []
    for resumed in (None, tmp_path / "epoch=1.ckpt"):
        study = Study(small, makers, search, **options)
        keep = ModelCheckpoint(
            tmp_path,
            "{epoch}",
            every_n_epochs=1,
            save_top_k=-1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        trainer = Trainer(max_epochs=4, callbacks=keep, default_root_dir=tmp_path, **flags)
        trainer.fit(study, Diabetes(batch_size="full"), ckpt_path=resumed)
        found.append(study)
    whole, again = found
    assert len(whole.population.groups) == len(again.population.groups)
    assert whole.population.ids == again.population.ids
    for (_, one), (_, two) in zip(*map(members, found), strict=True):
        assert torch.equal(one, two)


def test_seconds_are_a_members_share_of_its_optimizers(tmp_path, monkeypatch):
    """By a clock that only the slow optimizer moves."""
    now = [0.0]

    class Slow(optim.SGD):
        def step(self, closure=None):
            now[0] += 0.25
            return super().step(closure)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    study = together(
        {"SGD": optim.SGD, "slow": Slow},
        Grid([0.1]),
        epochs=2,
        seeds=[0, 1],
        flags={"default_root_dir": tmp_path},
    )
    fast, slow = study.records[0].series["seconds"][-1].unflatten(0, (2, 2)).unbind(0)
    assert fast.tolist() == [0.0, 0.0]
    assert now[0] > 0 and slow.tolist() == [now[0] / 2] * 2, "its steps are of both at once"


def test_a_study_that_other_processes_have_trained_says_what_their_metrics_say():
    study = Study(small, {"SGD": optim.SGD, "Adam": optim.Adam}, Grid([0.1]))
    found = {"val/rmse/SGD": torch.tensor(3.0), "val/rmse/Adam": torch.tensor(2.0)}
    assert study.summary(found) == "best: Adam, by validation rmse, 2"
    lost = dict.fromkeys(found, torch.tensor(float("inf")))
    assert study.summary(lost) == "best: none by validation rmse, as no member's is finite"


def test_lost_members_are_lost_in_a_checkpoint_too():
    """Else one that a single batch has thrown out would come back with a resumed study."""
    study = Study(small, {"Adam": optim.Adam}, Grid([0.1]), seeds=[0, 1, 2])
    saved = study.configure_optimizers()
    saved.parts[0].alive[1] = False
    again = study.configure_optimizers()
    again.load_state_dict(saved.state_dict())
    assert again.parts[0].alive.tolist() == [True, False, True]


def test_halving_keeps_the_best_of_each_optimizer_and_changes_none_of_them(tmp_path):
    flags = {"default_root_dir": tmp_path}
    optimizers = {"SGD": partial(optim.SGD, momentum=0.9), "Adam": optim.Adam}
    rates = [1e-4, 1e-3, 1e-2, 0.1]
    halved = together(optimizers, Grid(rates), seeds=[0, 1], halving=2, rungs=2, flags=flags)
    whole = together(optimizers, Grid(rates), seeds=[0, 1], flags=flags)
    # 8 trials, then 4 after 2 epochs, 2 after 4.
    counts = [int(row.isfinite().sum()) for row in halved.records[0].series["val/rmse"]]
    assert counts == [16] * 2 + [8] * 2 + [4] * 4
    assert {m.trial.optimizer for m in halved.population.members} == {"SGD", "Adam"}
    at_two = torch.stack(whole.records[0].series["val/rmse"])[1]
    for optimizer in optimizers:
        trials = {}
        for number, member in enumerate(whole.records[0].members):
            if member.trial.optimizer == optimizer:
                trials.setdefault(member.trial, []).append(float(at_two[number]))
        best_two = sorted(trials, key=lambda trial: sum(trials[trial]))[:2]
        kept = {m.trial for m in halved.population.members if m.trial.optimizer == optimizer}
        assert kept <= set(best_two) and len(kept) == 1
    for number in halved.population.ids:
        torch.testing.assert_close(
            halved.population.weights_of([number])[0],
            whole.population.weights_of([number])[0],
            rtol=1e-5,
            atol=1e-5,
        )


def test_progress_stays_with_its_members():
    study = Study(small, {"SGD": optim.SGD, "Rprop": optim.Rprop}, Grid([0.1, 0.2]), seeds=[0, 1])
    population = study.population
    population.make_optimizers()
    for name in ("evaluations", "seconds", "first", "loss_sum"):
        setattr(population.progress, name, torch.arange(8.0))
    population.keep([1, 2, 7])
    assert population.ids == [1, 2, 7] and len(population.groups) == 2
    for name in ("evaluations", "seconds", "first", "loss_sum"):
        assert getattr(population.progress, name).tolist() == [1, 2, 7]


def test_the_tables_train_metric_is_of_all_training_rows(tmp_path):
    flags = {"default_root_dir": tmp_path}
    study = together({"SGD": optim.SGD}, Grid([0.05]), epochs=2, seeds=[1], splits=[3], flags=flags)
    best, data = study.rounds.best(), study.trainer.datamodule
    found = training_metrics(best, study.networks, study.loss, data, study.device)[0, 0]["rmse"]
    network, split = small(), study.trainer.datamodule.splits(3)
    nn.utils.vector_to_parameters(members(study)[0][1], network.parameters())
    error = network(split.train.inputs.float()).squeeze(-1) - split.train.targets
    expected = error.square().mean().sqrt() * split.target_std
    assert found == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.slow
def test_halving_takes_nothing_from_those_that_stay(tmp_path):
    """Rates, decays, schedules, state and whether they are alive stay each member's own."""
    optimizers = {
        "momentum": partial(optim.SGD, momentum=0.9),
        "Adagrad": partial(optim.Adagrad, lr_decay=0.1),
        "RMSprop": partial(optim.RMSprop, centered=True, momentum=0.5),
        "amsgrad": partial(optim.AdamW, amsgrad=True),
        "NAdam": optim.NAdam,
        "RAdam": optim.RAdam,
        "Adadelta": optim.Adadelta,
        "Adamax": optim.Adamax,
        "ASGD": partial(optim.ASGD, t0=3),
    }
    halved, whole = (
        together(
            optimizers,
            Grid([1e20, 1e-5, 0.02, 0.03], [0.5, 0.01]),
            epochs=4,
            seeds=[0, 1],
            schedules={
                "constant": LRDecay("constant"),
                "step": LRDecay("step", every="1ep", gamma=0.7),
            },
            halving=halving,
            rungs=1,
            flags={"default_root_dir": tmp_path},
        )
        for halving in (4, 1)
    )
    ids = halved.population.ids
    assert len(ids) == len(whole.population.ids) // 4
    assert not any(halved.records[0].lost[i] for i in ids)
    assert {halved.records[0].members[i].trial.schedule for i in ids} == {"constant", "step"}
    assert {halved.records[0].members[i].trial.weight_decay for i in ids} == {0.5, 0.01}
    pairs = (study.population.weights_of(ids) for study in (halved, whole))
    for i, one, two in zip(ids, *pairs, strict=True):
        trial = halved.records[0].members[i].trial
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6, msg=lambda m, t=trial: f"{t}{m}")
    mine, others = (study.records[0] for study in (halved, whole))
    assert torch.equal(mine.first, others.first) and torch.equal(mine.lost, others.lost)
    for name in ("evaluations", "train/loss", "val/rmse"):
        one, two = (record.series[name][-1][ids] for record in (mine, others))
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_bayes_asks_again_and_each_round_starts_anew(tmp_path):
    search = Bayes(rounds=3, trials=4, learning_rate=[1e-4, 1.0])
    study = together(
        {"Adam": optim.Adam}, search, epochs=9, seeds=[0, 1], flags={"default_root_dir": tmp_path}
    )
    assert [len(record.members) for record in study.records] == [8, 8, 8]
    assert [record.epochs for record in study.records] == [[1, 2, 3]] * 3
    rates = [{m.trial.learning_rate for m in record.members} for record in study.records]
    assert not rates[0] & rates[1] and not rates[1] & rates[2]
    # A member of the last round is as if it had been trained alone for three epochs.
    member, weights = members(study)[0]
    again = together(
        {"Adam": optim.Adam},
        Grid([member.trial.learning_rate]),
        epochs=3,
        seeds=[member.seed],
        flags={"default_root_dir": tmp_path},
    )
    torch.testing.assert_close(weights, members(again)[0][1], rtol=1e-5, atol=1e-5)
    score = min(float(r.scores("rmse")[:].min()) for r in study.records)
    assert score < float(study.records[0].scores("rmse").max())


def test_the_best_of_an_earlier_round_is_what_is_tested(tmp_path):
    class Worse(Grid):
        """Round by round."""

        rounds = 2

        def suggest(self, kind, number, tried):
            return [Setting(0.05 if number == 0 else 1e-6)]

    flags = {"default_root_dir": tmp_path}
    study = together({"SGD": optim.SGD}, Worse(), epochs=2 * EPOCHS, seeds=[1], flags=flags)
    assert list(study.rounds.best()) == [(0, 0)]
    _, weights, noise = study.rounds.best()[0, 0]
    torch.testing.assert_close(weights, alone(optim.SGD, 0.05, 1)[0], rtol=1e-5, atol=1e-5)
    assert noise == study.records[0].latest("noise", 0)
    study.trainer.test(study, Diabetes(), verbose=False)
    tested = study.finalists.population.weights_of([0])[0]
    assert torch.equal(tested, weights)


def test_dropout_masks_are_each_members_own(tmp_path):
    study = Study(partial(small, 0.5), {"SGD": optim.SGD}, Grid([0.1]), seeds=[0, 0 + 1])
    study.population.train()
    inputs = torch.ones(2, 5, 10)
    weights = study.population.weights[0].data
    weights[1] = weights[0]
    one, two = study.population(inputs)
    assert not torch.equal(one, two)
    study.population.eval()
    one, two = study.population(inputs)
    assert torch.equal(one, two)


def test_vmap_and_the_chain_of_baddbmm_agree(tmp_path):
    class Other(MLP):
        """Not recognised as an MLP."""

    results = [
        together(
            {"Adam": optim.Adam},
            Grid([0.01]),
            seeds=[0, 1],
            network=partial(make, 10, [8], 1),
            flags={"default_root_dir": tmp_path},
        )
        for make in (MLP, Other)
    ]
    for (_, one), (_, two) in zip(*map(members, results), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_batched_is_refused():
    batchnorm = lambda: nn.Sequential(nn.Linear(10, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))  # noqa: E731
    with pytest.raises(ValueError, match=r"--model\.network: batch-norm"):
        Study(batchnorm, {"SGD": optim.SGD})
    with pytest.raises(ValueError, match=r"weight_decay: Rprop has none"):
        together({"Rprop": optim.Rprop}, Grid([0.1], [0.1]))
    with pytest.raises(ValueError, match=r"L-BFGS needs .*--data\.batch_size=full"):
        together({"LBFGS": optim.LBFGS}, Grid([0.1]))
    with pytest.raises(ValueError, match=r"--model\.search: no learning_rate for Adam"):
        Study(small, {"Adam": optim.Adam}, Grid({"SGD": [0.1]}))
    with pytest.raises(ValueError, match=r"max_epochs=5 is not 4 rounds"):
        together({"Adam": optim.Adam}, Bayes(rounds=4), epochs=5)
    with pytest.raises(ValueError, match=r"learning_rate=\[1\.0\]: give \[lowest, highest\]"):
        Random(3, [1.0])
    endless = {"max_steps": 20}
    with pytest.raises(ValueError, match=r"max_epochs=-1: halving needs to know the run's length"):
        together({"Adam": optim.Adam}, Grid([0.1]), epochs=-1, halving=2, flags=endless)
    seldom = {"check_val_every_n_epoch": 3}
    with pytest.raises(ValueError, match=r"check_val_every_n_epoch=3: a round of 2 epochs"):
        together({"Adam": optim.Adam}, Bayes(rounds=4), flags=seldom)
    decays = {"callbacks": [LRDecay()]}
    with pytest.raises(ValueError, match=r"--model\.schedules starts anew with each"):
        together({"Adam": optim.Adam}, Bayes(rounds=4), flags=decays)


def test_other_data_than_the_fits_are_refused(tmp_path):
    """Their target has another unit, so that every metric would be wrong."""
    study = together(
        {"SGD": optim.SGD}, Grid([0.1]), epochs=1, flags={"default_root_dir": tmp_path}
    )
    study.trainer.save_checkpoint(tmp_path / "a.ckpt")
    trainer = Trainer(max_epochs=2, default_root_dir=tmp_path, **QUIET)
    for command in (trainer.test, trainer.validate, trainer.predict, trainer.fit):
        again = Study(small, {"SGD": optim.SGD}, Grid([0.1]))
        with pytest.raises(ValueError, match="another training target than the study"):
            command(again, datamodule=Diabetes(test_size=0.3), ckpt_path=tmp_path / "a.ckpt")
    again = Study(small, {"SGD": optim.SGD}, Grid([0.1]))
    trainer.test(again, datamodule=Diabetes(), ckpt_path=tmp_path / "a.ckpt")


def test_buffers_follow_the_study(tmp_path):
    study = Study(QuadraticModel, {"SGD": optim.SGD}, Grid([0.01]), loss="mae", seeds=[0])
    flags = {**QUIET, "precision": "64-true", "default_root_dir": tmp_path}
    Trainer(max_epochs=2, **flags).fit(study, Quadratic())
    assert study.networks[""].buffer_0.dtype == torch.float64


def test_a_search_is_told_of_its_own_kind_alone(tmp_path):
    """Two optimizers and two schedules: four kinds, each with the scores of its own members."""
    told = []

    class Asking(Grid):
        rounds = 2

        def suggest(self, kind, number, tried):
            told.append((kind, number, tried))
            return super().suggest(kind, number, tried)

    makers = {"SGD": optim.SGD, "Adam": optim.Adam}
    schedules = {"cosine": LRDecay("cosine"), "step": LRDecay("step", every="50%")}
    search = Asking({"SGD": [0.05], "Adam": [0.01]})
    study = together(makers, search, epochs=4, seeds=[0, 1], schedules=schedules)
    second = [(kind, tried) for kind, number, tried in told if number == 1]
    assert len(second) == 4
    record = study.records[0]
    for kind, ((setting, score),) in second:
        members_ = [
            i
            for i, m in enumerate(record.members)
            if (m.trial.optimizer, m.trial.schedule) == (kind.optimizer, kind.schedule)
        ]
        assert setting.learning_rate == record.members[members_[0]].trial.learning_rate
        assert score == pytest.approx(float(record.scores("rmse")[members_].mean()))


def test_percentages_of_a_rounds_schedule_are_of_the_round(tmp_path):
    """Halved after half of each round of 2 epochs, 8 batches each."""
    decay = LRDecay("multistep", milestones=["50%"], gamma=0.5)
    search = Random(1, [0.01, 0.02])
    search.rounds = 2
    study = together({"SGD": optim.SGD}, search, epochs=4, seeds=[0], schedules={"half": decay})
    values = [study.multipliers["half"](step) for step in (0, 7, 8, 15)]
    assert values == [1, 1, 0.5, 0.5]


def test_two_owners_of_a_rate_and_a_target_that_is_not_evaluated_are_refused():
    two = {"schedules": {"a": LRDecay()}, "flags": {"callbacks": [LRDecay()]}}
    with pytest.raises(ValueError, match=r"--model\.schedules and the callback LRDecay"):
        together({"SGD": optim.SGD}, Grid([0.1]), **two)
    with pytest.raises(ValueError, match=r"--model\.target=50 is of val/rmse"):
        together({"SGD": optim.SGD}, Grid([0.1]), target=50.0, data={"val_size": 0.0})
    wolfe = partial(optim.LBFGS, line_search_fn="strong_wolfe")
    with pytest.raises(ValueError, match=r"line search chooses the step"):
        together(
            {"LBFGS": wolfe}, Grid([1.0]), schedules={"a": LRDecay()}, data={"batch_size": "full"}
        )


def test_muon_trains_matrices_one_by_one(tmp_path):
    """Which torch's own takes alone: a member's parameters keep their shapes."""
    flat = partial(LinearModel, 10, bias=False)
    study = together(
        {"Muon": optim.Muon},
        Grid([0.1, 0.01]),
        seeds=[0],
        network=flat,
        flags={"default_root_dir": tmp_path},
    )
    assert "Muon: 2, one by one, in 2 groups" in summary(study.makers, study.population.groups)
    for member, weights in members(study):
        expected, _ = alone(optim.Muon, member.trial.learning_rate, 0, network=flat)
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)


def test_quantiles_have_no_likelihood(tmp_path):
    network = partial(MLP, 10, [8], 3)
    with pytest.raises(ValueError, match=r"--model\.metric=nll: loss quantile"):
        Study(network, {"Adam": optim.Adam}, loss="quantile", metric="nll")
    study = together(
        {"Adam": optim.Adam},
        Grid([0.01]),
        seeds=[0],
        network=network,
        loss="quantile",
        flags={"default_root_dir": tmp_path},
    )
    _, metrics = alone(optim.Adam, 0.01, 0, network=network, loss="quantile")
    assert "val/nll" not in study.records[0].series and "val/nll" not in metrics
    for key in ("val/loss", "val/rmse"):
        assert study.records[0].latest(key, 0) == pytest.approx(metrics[key], rel=1e-4)

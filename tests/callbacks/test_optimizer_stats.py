"""OptimizerStats: every figure against its definition, for every optimizer."""

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.plugins import MixedPrecision
from torch import optim

import definitions
from callbacks import L1, GradientClip, LRDecay, OptimizerStats
from callbacks.optimizer_stats import clipped, observation

CURVATURE = np.linspace(0.5, 2.0, 12).reshape(4, 3)
TARGET = np.linspace(-1.0, 1.5, 12).reshape(4, 3)


class Rows(Logger):
    """Keeps what is logged."""

    name = version = ""

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        if any(key.startswith("optimizer/") for key in metrics):
            self.rows.append(metrics)

    def log_hyperparams(self, *args, **kwargs):
        pass


class Quadratic(LightningModule):
    """1/2 sum c (p - target)^2 with one matrix of parameters."""

    def __init__(self, make, start=None):
        super().__init__()
        start = np.full((4, 3), 0.3) if start is None else start
        self.p = torch.nn.Parameter(torch.tensor(start))
        self.make = make
        self.register_buffer("curvature", torch.tensor(CURVATURE))
        self.register_buffer("target", torch.tensor(TARGET))

    def training_step(self, batch, batch_idx):
        return (self.curvature * (self.p - self.target) ** 2).sum() / 2

    def configure_optimizers(self):
        return self.make(self.parameters())

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(8, 1))


def observe(module, *callbacks, **trainer):
    logger = Rows()
    Trainer(
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks) or [OptimizerStats(every=1)],
        **{"max_epochs": 1, "logger": logger, **trainer},
    ).fit(module)
    return logger.rows


def slow(params):
    return optim.SGD(params, 0.2)


CASES = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.3}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.3}),
    (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.5}),
    (optim.RMSprop, {"lr": 0.1}),
    (optim.RMSprop, {"lr": 0.1, "momentum": 0.9, "centered": True}),
    (optim.Adadelta, {"lr": 1.0}),
    (optim.Adam, {"lr": 0.1, "betas": (0.8, 0.99), "weight_decay": 0.3}),
    (optim.Adam, {"lr": 0.1, "amsgrad": True}),
    (optim.Adam, {"lr": 0.1, "betas": (0.0, 0.9)}),
    (optim.AdamW, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.NAdam, {"lr": 0.1}),
    (optim.RAdam, {"lr": 0.1, "betas": (0.9, 0.99)}),
    (optim.Adamax, {"lr": 0.1}),
    (optim.Adafactor, {"lr": 0.1, "weight_decay": 0.2}),
    (optim.Rprop, {"lr": 0.1}),
    (optim.ASGD, {"lr": 0.1, "lambd": 0.1}),
    (optim.Muon, {"lr": 0.1, "weight_decay": 0.2}),
]
TOLERANCE = {"Muon": {"rel": 2e-3, "abs": 1e-5}}  # torch orthogonalises in bfloat16


@pytest.mark.parametrize(
    ("optimizer", "options"), CASES, ids=[f"{o.__name__}-{len(k)}" for o, k in CASES]
)
def test_every_figure_is_its_definition(optimizer, options):
    rows = observe(Quadratic(lambda params: optimizer(params, **options)))
    name = optimizer.__name__
    step = getattr(definitions, name.lower())
    close = TOLERANCE.get(name, {"rel": 2e-5, "abs": 1e-7})
    p, state = np.full((4, 3), 0.3), {}
    decoupled = options.get("weight_decay", 0.0) if name in ("AdamW", "Adafactor", "Muon") else 0.0
    if name == "ASGD":  # which shrinks the parameters too, by lambd eta
        decoupled = options["lambd"]
    assert len(rows) == 8
    for t, row in enumerate(rows, 1):
        stats = {key.removeprefix(f"optimizer/{name}/"): value for key, value in row.items()}
        g = CURVATURE * (p - TARGET)
        update, first, second = step(state, p, g, t, **options)
        rate = options["lr"] / (1 + 0.01 * (t - 1)) ** 0.75 if name == "ASGD" else options["lr"]
        applied = update + rate * decoupled * p
        assert row[f"lr/{name}"] == pytest.approx(options["lr"])
        assert stats["gradient_norm"] == pytest.approx(np.linalg.norm(g), **close)
        assert stats["parameter_norm"] == pytest.approx(np.linalg.norm(p), **close)
        ratio = np.linalg.norm(applied) / np.linalg.norm(p)
        assert stats["update_ratio"] == pytest.approx(ratio, **close)
        for q in (5, 50, 95):
            expected = np.percentile(np.abs(update), q)
            assert stats[f"effective_step_q{q:02}"] == pytest.approx(expected, **close)
            if second is not None:
                expected = np.percentile(second, q)
                assert stats[f"second_moment_q{q:02}"] == pytest.approx(expected, **close)
        if first is not None:
            cosine = (first * g).sum() / np.linalg.norm(first) / np.linalg.norm(g)
            assert stats["momentum_cosine"] == pytest.approx(cosine, **close)
        if betas := {"betas": (0.9, 0.999), **options}["betas"] if "Adam" in name else None:
            # Of NAdam, whose momentum changes with t, from the product of them all.
            kept = state["product"] if name == "NAdam" else betas[0] ** t
            assert stats["bias_correction1"] == pytest.approx(1 - kept, **close)
            if name != "Adamax":
                assert stats["bias_correction2"] == pytest.approx(1 - betas[1] ** t, **close)
        assert ("second_moment_q50" in stats) == (second is not None)
        assert ("momentum_cosine" in stats) == (first is not None)
        p = p - applied


def test_radams_rectification_is_its_equation():
    rows = observe(Quadratic(lambda params: optim.RAdam(params, 0.1, betas=(0.9, 0.99))))
    found = [row["optimizer/RAdam/rectification"] for row in rows]
    for t, value in enumerate(found, 1):
        longest = 2 / 0.01 - 1
        length = longest - 2 * t * 0.99**t / (1 - 0.99**t)
        top = (length - 4) * (length - 2) * longest
        expected = np.sqrt(top / ((longest - 4) * (longest - 2) * length)) if length > 5 else 0
        assert value == pytest.approx(expected, rel=1e-4)
    assert found[0] == 0 < found[-1]


def test_lbfgs_is_observed_over_its_whole_step():
    """Step length: lr, but in the first iteration of all lr min(1, 1 / |g|_1)."""

    def make(params):
        return optim.LBFGS(params, lr=0.5, max_iter=1)

    rows = observe(Quadratic(make))
    module = Quadratic(make)
    optimizer = make(module.parameters())
    evaluations = 0
    for row in rows:
        before = module.p.detach().clone()
        gradient = torch.tensor(CURVATURE) * (before - torch.tensor(TARGET))

        def closure():
            nonlocal evaluations
            evaluations += 1
            optimizer.zero_grad()
            loss = module.training_step(None, 0)
            loss.backward()
            return loss

        optimizer.step(closure)
        moved = (module.p.detach() - before).numpy()
        change = np.linalg.norm(moved)
        stats = {key.removeprefix("optimizer/LBFGS/"): value for key, value in row.items()}
        assert stats["update_ratio"] == pytest.approx(change / float(before.norm()), rel=1e-5)
        assert stats["parameter_norm"] == pytest.approx(float(before.norm()), rel=1e-5)
        for q in (5, 50, 95):
            expected = np.percentile(np.abs(moved), q)
            assert stats[f"effective_step_q{q:02}"] == pytest.approx(expected, rel=1e-4)
        assert stats["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
        assert stats["function_evaluations"] == evaluations
        first = min(1.0, 1 / float(gradient.abs().sum())) * 0.5
        assert stats["step_length"] == pytest.approx(first if row is rows[0] else 0.5, rel=1e-5)
        if row is rows[0]:  # down the gradient
            assert moved == pytest.approx(-first * gradient.numpy(), rel=1e-5)


@pytest.mark.parametrize("make", [optim.LBFGS, optim.SGD, optim.ASGD])
def test_observing_adds_nothing_to_the_optimizers_state(make):
    """Of LBFGS's parameters only the first has a state, of plain SGD's none."""

    class Two(Quadratic):
        def __init__(self):
            super().__init__(lambda params: make(params, 0.1))
            self.q = torch.nn.Parameter(torch.full((5,), 2.0, dtype=torch.float64))

        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) + self.q.square().sum() / 2

        def on_train_end(self):
            self.kept = [list(state) for state in self.trainer.optimizers[0].state.values()]

    kept = []
    for every in (1, 1000):
        module = Two()
        assert len(observe(module, OptimizerStats(every))) == (8 if every == 1 else 0)
        kept.append(module.kept)
    assert kept[0] == kept[1]


def test_an_unknown_optimizers_step_is_the_applied_one():
    class Sign(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.25})

        @torch.no_grad()
        def step(self, closure):
            closure()
            for group in self.param_groups:
                for p in group["params"]:
                    p -= group["lr"] * p.grad.sign()

    (row, *_) = observe(Quadratic(Sign))
    assert row["optimizer/Sign/effective_step_q50"] == pytest.approx(0.25)


def test_maximisation_turns_the_gradient_round():
    rows = observe(Quadratic(lambda p: optim.Adam(p, 0.01, maximize=True)))
    assert all(row["optimizer/Adam/momentum_cosine"] > 0.5 for row in rows)


@pytest.mark.parametrize("fused", [False, True])
def test_fused_and_looped_adam_have_the_same_figures(fused):
    (expected, *_) = observe(Quadratic(lambda p: optim.Adam(p, 0.1, foreach=True)))
    (found, *_) = observe(Quadratic(lambda p: optim.Adam(p, 0.1, fused=fused)))
    assert found == pytest.approx(expected, rel=1e-6)


def test_layers_are_logged_on_request():
    class Two(Quadratic):
        def __init__(self, make):
            super().__init__(make)
            self.q = torch.nn.Parameter(torch.full((5,), 2.0, dtype=torch.float64))

        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) + self.q.square().sum() / 2

    module = Two(lambda p: optim.Adam(p, 0.1))
    (row, *_) = observe(module, OptimizerStats(every=8, layers=True))
    found = {key.removeprefix("optimizer/Adam/"): value for key, value in row.items()}
    assert "gradient_norm/p" in found and "effective_step_q50/q" in found
    for stat in ("gradient_norm", "parameter_norm"):
        both = np.hypot(found[f"{stat}/p"], found[f"{stat}/q"])
        assert found[stat] == pytest.approx(both, rel=1e-6)
    assert not [key for key in observe(Two(module.make))[0] if key.endswith("/q")]


def test_groups_are_logged_on_request():
    """Those of the same parameters under an optimizer of their own."""

    class Parts(LightningModule):
        def __init__(self, rates):
            super().__init__()
            self.rates = rates
            self.one, self.two, self.three = (torch.nn.Parameter(torch.ones(n)) for n in (2, 3, 4))

        def training_step(self, batch, batch_idx):
            return self.one.exp().sum() + self.two.square().sum() + self.three.cos().sum()

        def configure_optimizers(self):
            # Of two groups with one name, the figures are of both.
            params = {"head": [[self.one], [self.two]], "rest": [[self.three]]}
            rates = self.rates.items()
            return optim.Adam(
                [{"params": p, "lr": lr, "name": n} for n, lr in rates for p in params[n]]
            )

        def train_dataloader(self):
            return torch.utils.data.DataLoader(torch.ones(8, 1))

    rates = {"head": 0.1, "rest": 0.01}
    rows = observe(Parts(rates), OptimizerStats(every=1, groups=True))
    assert len(rows) == 8
    for name in rates:
        alone = observe(Parts({name: rates[name]}))
        for row, own in zip(rows, alone, strict=True):
            stats = {key for key in own if key.startswith("optimizer/") and not key.endswith(name)}
            stats -= {"optimizer/Adam/clipped"}
            assert len(stats) > 8
            assert {key: row[f"{key}/{name}"] for key in stats} == {key: own[key] for key in stats}
    assert not [key for key in observe(Parts(rates))[0] if key.count("/") > 2]


class Odd(LightningModule):
    """1/2 sum (p - 1)^2 / size with parameters of some shapes."""

    def __init__(self, make, shapes):
        super().__init__()
        self.make = make
        self.tensors = torch.nn.ParameterDict(
            {name: torch.full(shape, 3.0) for name, shape in shapes.items()}
        )

    def training_step(self, batch, batch_idx):
        return sum((p - 1).square().sum() / 2 for p in self.tensors.values())

    def configure_optimizers(self):
        return self.make(self.parameters())

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(4, 1))


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize(
    ("make", "options"),
    [*((make, options) for make, options in CASES if make is not optim.Muon), (optim.LBFGS, {})],
)
def test_a_parameter_without_dimensions_is_a_vector_of_one(make, options, layers):
    found, expected = (
        observe(
            Odd(lambda params: make(params, **options), {"scalar": shape, "vector": (6,)}),
            OptimizerStats(every=1, layers=layers),
        )
        for shape in ((), (1,))
    )
    assert len(found) == 4
    for one, two in zip(found, expected, strict=True):
        assert one == pytest.approx(two, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("make", [optim.Adam, optim.SGD, optim.LBFGS])
def test_a_parameter_without_elements_is_left_out(make, layers):
    """torch's Adafactor divides by the number of elements, and trains no such parameter."""
    found, expected = (
        observe(
            Odd(lambda params: make(params, lr=0.1), {"vector": (6,), **more}),
            OptimizerStats(every=1, layers=layers),
        )
        for more in ({"empty": (0,), "flat": (3, 0)}, {})
    )
    assert found == expected and len(found) == 4


class Grouped(Quadratic):
    """Its own clipping: each group by its norm, but none of a group that is named kept."""

    def configure_gradient_clipping(self, optimizer, gradient_clip_val, gradient_clip_algorithm):
        by_value = gradient_clip_algorithm == "value"
        utils = torch.nn.utils
        clip = utils.clip_grad_value_ if by_value else utils.clip_grad_norm_
        for group in optimizer.param_groups:
            if group.get("name") != "kept":
                clip(group["params"], gradient_clip_val)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("by", ["callback", "two callbacks", "flag", "module"])
def test_clipped_steps_are_counted(algorithm, by, monkeypatch):
    """Gradients shrink: which of 8 steps are clipped is known, and rows are of 4 steps each."""
    monkeypatch.setattr(observation, "COUNTED", 3)  # so also between two rows
    limit = 1.4 if algorithm == "norm" else 0.8
    callbacks, trainer = [OptimizerStats(every=4)], {}
    if by in ("flag", "module"):
        trainer = {"gradient_clip_val": limit, "gradient_clip_algorithm": algorithm}
    else:
        callbacks.append(GradientClip(limit, algorithm))
    if by == "two callbacks":
        callbacks.append(GradientClip(10 * limit, algorithm))
    rows = observe((Grouped if by == "module" else Quadratic)(slow), *callbacks, **trainer)
    p, clipped, norms = np.full((4, 3), 0.3), [], []
    for _ in range(8):
        g = CURVATURE * (p - TARGET)
        norms.append(np.linalg.norm(g))
        kept = g * min(1, limit / norms[-1]) if algorithm == "norm" else np.clip(g, -limit, limit)
        clipped.append(np.linalg.norm(kept) < norms[-1] - 1e-9)
        p = p - 0.2 * kept
    assert 0 < np.mean(clipped) < 1
    for part, row in zip((slice(0, 4), slice(4, 8)), rows, strict=True):
        assert row["optimizer/SGD/clipped"] == pytest.approx(np.mean(clipped[part]))
        assert row["optimizer/SGD/gradient_norm"] == pytest.approx(norms[part][-1], rel=1e-5)
    assert "optimizer/SGD/clipped" not in observe(Quadratic(slow))[0]


def test_rows_come_every_n_batches_also_under_accumulation():
    assert len(observe(Quadratic(slow), OptimizerStats(every=3), max_epochs=3)) == 8
    assert len(observe(Quadratic(slow), OptimizerStats(every="0.5ep"), max_epochs=3)) == 6
    rows = observe(Quadratic(slow), OptimizerStats(every=3), accumulate_grad_batches=2)
    assert len(rows) == 2


def test_a_sample_stands_for_many_parameters(monkeypatch):
    """Of a layer of 200 x 300: quantiles of the sample within their sampling error."""

    class Wide(LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(300, 200)
            self.inputs = torch.randn(64, 300) * torch.logspace(-3, 0, 300)

        def training_step(self, batch, batch_idx):
            return (self.layer(self.inputs) - 1).square().mean()

        def configure_optimizers(self):
            return optim.Adam(self.parameters(), 1e-3)

        def train_dataloader(self):
            return torch.utils.data.DataLoader(torch.ones(5, 1))

    sampled = observe(Wide())[-1]
    monkeypatch.setattr(observation, "SAMPLE", 10**6)
    whole = observe(Wide())[-1]
    assert sampled.keys() == whole.keys() and sampled != whole
    for key in ("gradient_norm", "parameter_norm", "update_ratio"):
        assert sampled[f"optimizer/Adam/{key}"] == whole[f"optimizer/Adam/{key}"]
    for key, value in whole.items():
        assert sampled[key] == pytest.approx(value, rel=0.1, abs=1e-6), key


def test_two_optimizers_under_manual_optimization_are_told_apart():
    class Manual(Quadratic):
        automatic_optimization = False

        def training_step(self, batch, batch_idx):
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(super().training_step(batch, batch_idx))
                optimizer.step()

    def both(params):
        params = list(params)
        return [optim.SGD(params, 0.1), optim.Adam(params, 0.1)]

    rows = observe(Manual(both))
    assert {"lr/SGD", "lr/Adam-1"} <= rows[0].keys()
    assert "optimizer/SGD/second_moment_q50" not in rows[0]
    assert "optimizer/Adam-1/second_moment_q50" in rows[0]


def test_histograms_go_to_wandb_alone(tmp_path):
    logger, plain = WandbLogger(save_dir=tmp_path, mode="disabled"), Rows()
    kept = []
    logger.log_metrics = lambda metrics, step=None: kept.append(metrics)
    flags = {"logger": [logger, plain], "log_every_n_steps": 1000}
    observe(Quadratic(slow), OptimizerStats(every=4), **flags)
    observe(Quadratic(slow), OptimizerStats(every=4, histograms=False), **flags)
    key = "optimizer/SGD/effective_step_histogram"
    with_them, without = kept[0], kept[-1]
    histogram = with_them[key]
    assert sum(histogram.histogram) == 12 and histogram.bins[0] == -12 and len(histogram.bins) == 65
    assert without.keys() == with_them.keys() - {key}
    assert all(key not in row for row in plain.rows) and len(plain.rows) == 4


def test_a_parameter_without_a_gradient_is_left_out():
    class Idle(Quadratic):
        def __init__(self, make):
            super().__init__(make)
            self.idle = torch.nn.Parameter(torch.full((5,), 100.0))

    with_it, without = observe(Idle(slow))[-1], observe(Quadratic(slow))[-1]
    assert with_it == without


def test_a_module_may_clip_what_it_likes():
    """Here not the smallest parameter, which tells of Lightning's own clipping."""

    class Two(Grouped):
        def __init__(self):
            super().__init__(None)
            self.large = torch.nn.Parameter(torch.ones(clipped.FEW))

        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) + self.large.square().sum()

        def configure_optimizers(self):
            return slow([{"params": [self.large]}, {"params": [self.p], "name": "kept"}])

    rows = observe(Two(), gradient_clip_val=1.0)
    assert [row["optimizer/SGD/clipped"] for row in rows] == [1] * 8


def test_a_layers_gradient_is_that_of_before_clipping():
    flags = {"max_steps": 1}
    stats = OptimizerStats(every=1, layers=True)
    (free,) = observe(Quadratic(slow), stats, **flags)
    stats = OptimizerStats(every=1, layers=True)
    (kept,) = observe(Quadratic(slow), stats, gradient_clip_val=0.1, **flags)
    key = "optimizer/SGD/gradient_norm/p"
    assert kept[key] == free[key] > 0.1 and kept["optimizer/SGD/clipped"] == 1


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_a_smaller_gradient_at_a_steps_end_is_not_a_clipped_one(algorithm):
    """LBFGS evaluates several times in a step; the first decides."""

    def make(params):
        return optim.LBFGS(params, lr=0.5, max_iter=4)

    for limit, share in ((1e6, 0), (0.1, 1)):
        flags = {"gradient_clip_val": limit, "gradient_clip_algorithm": algorithm, "max_steps": 2}
        rows = observe(Quadratic(make), **flags)
        assert [row["optimizer/LBFGS/clipped"] for row in rows] == [share, share]


@pytest.mark.parametrize(("by", "most"), [("callback", 0), ("flag", 16), ("value", 8)])
def test_counting_clipped_steps_takes_no_more_of_all_gradients_than_it_must(by, most, monkeypatch):
    """Of a large and a small parameter, in 8 steps of which none is measured."""

    class Two(Quadratic):
        def __init__(self):
            super().__init__(slow)
            self.large = torch.nn.Parameter(torch.ones(clipped.FEW))

        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) + self.large.square().sum()

    taken = []
    for name in ("each_norm", "largest"):
        real = getattr(clipped, name)

        def count(tensors, real=real):
            taken.append(sum(tensor.numel() for tensor in tensors))
            return real(tensors)

        monkeypatch.setattr(clipped, name, count)
    callbacks = [GradientClip(1.0)] if by == "callback" else []
    flags = {} if by == "callback" else {"gradient_clip_val": 1.0}
    if by == "value":
        flags["gradient_clip_algorithm"] = "value"
    observe(Two(), OptimizerStats(every=9), *callbacks, **flags)
    assert len(taken) == most
    assert by == "value" or all(count == 12 for count in taken)


def test_gradient_clip_keeps_the_norm_of_before():
    module = Quadratic(slow)
    clip = GradientClip(0.5)
    observe(module, clip, max_steps=1)
    expected = np.linalg.norm(CURVATURE * (0.3 - TARGET))
    (norm,) = clip.norms.values()
    assert float(norm) == pytest.approx(expected) and expected > 0.5


@pytest.mark.parametrize("order", [1, -1])
def test_figures_do_not_depend_on_the_order_of_callbacks(order):
    """Gradients are those of before clipping, updates those of after the proximal step."""
    callbacks = [OptimizerStats(every=1), GradientClip(0.5), L1(1.0)][::order]
    (row, *_) = observe(Quadratic(slow), *callbacks)
    start = np.full((4, 3), 0.3)
    gradient = CURVATURE * (start - TARGET)
    moved = start - 0.2 * gradient * 0.5 / np.linalg.norm(gradient)
    after = np.sign(moved) * np.maximum(0, np.abs(moved) - 0.2)
    norm = np.linalg.norm(gradient)
    ratio = np.linalg.norm(after - start) / np.linalg.norm(start)
    assert row["optimizer/SGD/gradient_norm"] == pytest.approx(norm, rel=1e-5)
    assert row["optimizer/SGD/update_ratio"] == pytest.approx(ratio, rel=1e-5)
    assert row["optimizer/SGD/clipped"] == 1


def test_groups_may_be_added_while_training():
    class Growing(Quadratic):
        def __init__(self):
            super().__init__(slow)
            self.q = torch.nn.Parameter(torch.full((5,), 2.0, dtype=torch.float64))

        def training_step(self, batch, batch_idx):
            if batch_idx == 4:
                self.trainer.optimizers[0].add_param_group({"params": [self.q], "lr": 0.01})
            return super().training_step(batch, batch_idx) + self.q.square().sum() / 2

        def configure_optimizers(self):
            return slow([self.p])

    rows = observe(Growing(), LRDecay("constant"), OptimizerStats(every=1))
    assert rows[7]["lr/SGD/0"] == 0.2 and rows[7]["lr/SGD/1"] == 0.01
    assert rows[7]["optimizer/SGD/parameter_norm"] > rows[3]["optimizer/SGD/parameter_norm"]


def test_a_step_that_the_loss_scale_skips_leaves_no_trace():
    class Overflowing(Quadratic):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (torch.inf if batch_idx == 2 else 1)

    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    rows = observe(Overflowing(slow), OptimizerStats(every=1), plugins=[precision])
    assert len(rows) == 7, "one was skipped"
    plain = [row["optimizer/SGD/gradient_norm"] for row in observe(Quadratic(slow))]
    found = [row["optimizer/SGD/gradient_norm"] for row in rows]
    assert found == pytest.approx(plain[:7], rel=1e-3)

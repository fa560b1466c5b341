"""The schedules against their formulas, step by step, and against torch's where it has them."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from callbacks.schedules import FORMS, Schedule

STEPS = 60


def torchs(make, steps=STEPS):
    """The rates that a torch scheduler gives an optimizer of rate 1."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "scheduler"),
    [
        (Schedule("constant"), lambda o: lr_scheduler.ConstantLR(o, factor=1)),
        (
            Schedule("linear", STEPS, final=0.2),
            lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=STEPS - 1),
        ),
        (
            Schedule("constant", STEPS, warmup=10),
            lambda o: lr_scheduler.LinearLR(o, 1 / 10, 1.0, total_iters=9),
        ),
        (
            Schedule("cosine", STEPS, final=0.1),
            lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS - 1, eta_min=0.1),
        ),
        (Schedule("exponential", gamma=0.9), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        (Schedule("step", gamma=0.3, every=7), lambda o: lr_scheduler.StepLR(o, 7, 0.3)),
        (
            Schedule("multistep", gamma=0.3, milestones=(5, 11, 40)),
            lambda o: lr_scheduler.MultiStepLR(o, [5, 11, 40], 0.3),
        ),
        (
            Schedule("polynomial", STEPS, power=2.5),
            lambda o: lr_scheduler.PolynomialLR(o, STEPS - 1, power=2.5),
        ),
        (
            Schedule("one_cycle", STEPS, warmup=18, start=0.04, final=0.001),
            lambda o: lr_scheduler.OneCycleLR(
                o, 1.0, STEPS, pct_start=0.3, div_factor=25, final_div_factor=40
            ),
        ),
        (
            Schedule("inverse_sqrt", warmup=10),
            lambda o: lr_scheduler.LambdaLR(o, lambda t: min((t + 1) / 10, (10 / (t + 1)) ** 0.5)),
        ),
        (
            Schedule("wsd", STEPS, warmup=10, decay=20),
            lambda o: lr_scheduler.SequentialLR(
                o,
                [
                    lr_scheduler.LinearLR(o, 1 / 10, 1.0, total_iters=9),
                    lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=20),
                ],
                milestones=[39],
            ),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Schedule) else "torch",
)
def test_the_schedule_is_torchs(schedule, scheduler):
    steps = STEPS - 1 if schedule.name == "one_cycle" else STEPS  # which torch cannot step beyond
    found = [schedule(step) for step in range(steps)]
    assert found == pytest.approx(torchs(scheduler, steps), abs=1e-12)


def test_closed_forms():
    """Each formula written out once more, at an arbitrary batch."""
    t, warmup, length, final = 33, 10, 50, 0.2
    x = (t - warmup) / (length - 1 - warmup)
    y = (t - 29) / 20
    common = {"length": length, "warmup": warmup, "final": final}
    expected = {
        Schedule("linear", **common): 1 - 0.8 * x,
        Schedule("cosine", **common): 0.2 + 0.4 * (1 + math.cos(math.pi * x)),
        Schedule("polynomial", **common, power=3): 0.2 + 0.8 * (1 - x) ** 3,
        Schedule("exponential", warmup=warmup, gamma=0.5, every=4): 0.5 ** (23 / 4),
        Schedule("step", warmup=warmup, gamma=0.5, every=16): 0.25,
        Schedule("multistep", gamma=0.5, milestones=(3, 33, 34)): 0.25,
        Schedule("inverse_sqrt"): (1 + t) ** -0.5,
        Schedule("wsd", **common, decay=20, power=0.5): 0.2 + 0.8 * (1 - math.sqrt(y)),
        Schedule("one_cycle", **common): 0.2
        + 0.8 * (1 + math.cos(math.pi * (t - 9) / (length - 10))) / 2,
    }
    for schedule, value in expected.items():
        assert schedule(t) == pytest.approx(value, abs=1e-12), schedule.name


def test_the_transformers_schedule_is_its_equation():
    """Vaswani et al. 2017, equation 3, up to the constant that makes its peak 1."""
    schedule = Schedule("inverse_sqrt", warmup=40)
    peak = 40**-0.5
    for step in range(1, 200):
        equation = min(step**-0.5, step * 40**-1.5)
        assert schedule(step - 1) == pytest.approx(equation / peak, abs=1e-12)


@pytest.mark.parametrize("name", FORMS)
def test_warm_up_ends_at_the_peak_and_nothing_follows_the_last_batch(name):
    options = {"gamma": 0.9, "every": 100, "milestones": (30,), "decay": 10}
    schedule = Schedule(name, 50, warmup=10, final=0.1, **options)
    values = [schedule(step) for step in range(60)]
    assert max(values) == 1 == values[9]
    assert values[:9] == sorted(values[:9]) and 0 <= values[0] < 0.2
    assert values[9:50] == sorted(values[9:50], reverse=True)
    assert values[49:] == [values[49]] * 11
    if name in ("linear", "cosine", "polynomial", "one_cycle", "wsd"):
        assert values[49] == pytest.approx(0.1, abs=1e-12)


@pytest.mark.parametrize("name", FORMS)
def test_a_run_shorter_than_its_warm_up_has_rates(name):
    schedule = Schedule(name, 3, warmup=10, gamma=0.9, milestones=(5,), decay=2)
    assert all(0 <= schedule(step) <= 1 for step in range(3))

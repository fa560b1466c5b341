"""Schedules: what a hyperparameter is multiplied by, as a pure function of the step.

All rise over the warm-up (Goyal et al. 2017, section 2.2, https://arxiv.org/abs/1706.02677) and
have the value 1, the peak, in its last batch. Then, with t the number of batches before this one, W
those of the warm-up, T the schedule's length, and

    x = (t - W) / (T - 1 - W),   from 0 in the first batch after the warm-up to 1 in the last,

each decays in its own way. Where torch has the same schedule, it is the same number.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Name = Literal[
    "constant",
    "linear",
    "cosine",
    "exponential",
    "step",
    "multistep",
    "inverse_sqrt",
    "polynomial",
    "one_cycle",
    "wsd",
]


@dataclass(frozen=True)
class Schedule:
    """A schedule whose lengths are numbers of batches; called with a step, it is the multiplier.

    Attributes:
        name: of the decay's form
        length: T; beyond it the multiplier stays as it was in batch T - 1
        warmup: W; the multiplier rises linearly, start + (1 - start) (t + 1) / W
        start: multiplier that the rise begins above, 0 to 1
        final: multiplier in batch T - 1, where the form does not decide it
        gamma: factor of exponential, step and multistep
        every: batches per factor of exponential and step
        milestones: batches of the run in which multistep applies its factor
        power: exponent of polynomial and wsd
        decay: batches of wsd's decay
    """

    name: Name = "cosine"
    length: float = math.inf
    warmup: int = 0
    start: float = 0.0
    final: float = 0.0
    gamma: float = 0.1
    every: int = 1
    milestones: tuple[int, ...] = ()
    power: float = 1.0
    decay: int = 0

    def __call__(self, step: int) -> float:
        """The multiplier in one batch: no unit, 0 to 1.

        Args:
            step: t, batches trained on before this one
        """
        step = min(step, self.length - 1)
        if step < self.warmup and self.name != "one_cycle":
            return self.start + (1 - self.start) * (step + 1) / self.warmup
        return FORMS[self.name](self, step)

    def progress(self, step: int, first: int) -> float:
        """How far batch `step` is from batch `first`, 0, to the last, 1."""
        return min(1.0, max(0, step - first) / max(1, self.length - 1 - first))


def constant(s: Schedule, t: int) -> float:
    """1."""
    return 1.0


def linear(s: Schedule, t: int) -> float:
    """1 + (final - 1) x: Devlin et al. 2019 (BERT), appendix A.2, with final 0."""
    return 1 + (s.final - 1) * s.progress(t, s.warmup)


def cosine(s: Schedule, t: int) -> float:
    """Final + (1 - final) (1 + cos(pi x)) / 2: Loshchilov & Hutter 2017, equation 5."""
    return s.final + (1 - s.final) * (1 + math.cos(math.pi * s.progress(t, s.warmup))) / 2


def exponential(s: Schedule, t: int) -> float:
    """gamma^((t - W) / every): Senior et al. 2013, "exponential scheduling"."""
    return s.gamma ** ((t - s.warmup) / s.every)


def step(s: Schedule, t: int) -> float:
    """gamma^floor(t / every), counted from the first batch of the run.

    Szegedy et al. 2015, section 6: 0.96 every 8 epochs.
    """
    return s.gamma ** (t // s.every)


def multistep(s: Schedule, t: int) -> float:
    """gamma^(number of milestones <= t), counted from the first batch of the run.

    He et al. 2016, section 4.2: 0.1 at 32,000 and 48,000.
    """
    return s.gamma ** sum(milestone <= t for milestone in s.milestones)


def inverse_sqrt(s: Schedule, t: int) -> float:
    """sqrt(W / (t + 1)), without warm-up (1 + t)^-1/2.

    Vaswani et al. 2017, equation 3, divided by its peak: min((t + 1)^-1/2, (t + 1) W^-3/2) W^1/2,
    whose second branch is the linear warm-up.
    """
    return math.sqrt(max(1, s.warmup) / (t + 1))


def polynomial(s: Schedule, t: int) -> float:
    """Final + (1 - final) (1 - x)^power.

    Chen et al. 2017 (DeepLab), "poly" with power 0.9, https://arxiv.org/abs/1606.00915.
    """
    return s.final + (1 - s.final) * (1 - s.progress(t, s.warmup)) ** s.power


def one_cycle(s: Schedule, t: int) -> float:
    """Half a cosine up from start to 1 in batch W - 1, another down to final in batch T - 1.

    Smith & Topin 2018, section 3, with cosines as in torch.optim.lr_scheduler.OneCycleLR.
    """
    peak = max(0, s.warmup - 1)
    if t < peak:
        return s.start + (1 - s.start) * (1 - math.cos(math.pi * t / peak)) / 2
    return s.final + (1 - s.final) * (1 + math.cos(math.pi * s.progress(t, peak))) / 2


def wsd(s: Schedule, t: int) -> float:
    """1 until batch D = T - decay - 1, from there final + (1 - final) (1 - y^power), y from 0 to 1.

    Warm-up, stable, decay: Hu et al. 2024 (MiniCPM), section 4. Power 1/2 is the 1-sqrt decay of
    Hagele et al. 2024, section 3, https://arxiv.org/abs/2405.18392.
    """
    y = s.progress(t, max(s.warmup, s.length - s.decay - 1))
    return s.final + (1 - s.final) * (1 - y**s.power)


FORMS: dict[str, Callable[[Schedule, int], float]] = {
    form.__name__: form
    for form in (
        constant,
        linear,
        cosine,
        exponential,
        step,
        multistep,
        inverse_sqrt,
        polynomial,
        one_cycle,
        wsd,
    )
}

# What each form reads besides warmup and start, with its own defaults; None must be given.
OPTIONS: dict[str, dict[str, object]] = {
    "constant": {},
    "linear": {"length": "100%", "final": 0.0},
    "cosine": {"length": "100%", "final": 0.0},
    "exponential": {"gamma": None, "every": 1},
    "step": {"gamma": 0.1, "every": None},
    "multistep": {"gamma": 0.1, "milestones": None},
    "inverse_sqrt": {},
    "polynomial": {"length": "100%", "final": 0.0, "power": 1.0},
    "one_cycle": {"length": "100%", "final": 0.0, "warmup": "30%", "start": 0.04},
    "wsd": {"length": "100%", "final": 0.0, "power": 1.0, "decay": "20%"},
}

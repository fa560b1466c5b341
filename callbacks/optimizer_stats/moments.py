"""What the state of torch's optimizers says of the step just taken, parameter by parameter.

Everything here is elementwise, on equally long vectors of any sample of the parameters: no function
knows tensors' shapes, devices or shards. The formulas are those of the optimizers' documentation in
torch, whose state holds the moments after the step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, optim


@dataclass(frozen=True)
class Moments:
    """Of one step; vectors of one element a parameter, None where the optimizer has no such thing.

    Attributes:
        update: what was subtracted from the parameter, without decoupled weight decay, in the
            parameter's unit: lr m_hat / (sqrt(v_hat) + eps) for Adam
        first: the momentum, in the gradient's unit (RMSprop's is in units of the step)
        second: the mean of squared gradients, corrected for bias
        phases: by name, how far the estimates' bias is gone, 0 to 1: 1 - beta^t
    """

    update: Tensor
    first: Tensor | None = None
    second: Tensor | None = None
    phases: tuple[tuple[str, Tensor], ...] = ()


def bias_correction(beta: float, step: Tensor) -> Tensor:
    """1 - beta^step, exact also in float32 where it is small."""
    return -torch.expm1(step * math.log(beta)) if beta > 0 else torch.ones_like(step)


def sgd(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Lr b with momentum b, lr (g + mu b) after Nesterov, lr g without.

    Sutskever et al. 2013, section 2, whose velocity is -lr b.
    """
    if not group["momentum"]:
        return Moments(group["lr"] * gradient)
    buffer = state["momentum_buffer"]
    direction = gradient + group["momentum"] * buffer if group["nesterov"] else buffer
    return Moments(group["lr"] * direction, buffer)


def adagrad(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Lr / (1 + (t - 1) lr_decay) g / (sqrt(sum of g^2) + eps).

    Duchi, Hazan & Singer 2011, with diagonal matrices; lr_decay is torch's.
    """
    lr = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
    return Moments(lr * gradient / (state["sum"].sqrt() + group["eps"]), None, state["sum"])


def rmsprop(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Lr g / (sqrt(v) + eps), v without the squared mean if centered; lr b with momentum b.

    Tieleman & Hinton 2012, lecture 6e; centered: Graves 2013, https://arxiv.org/abs/1308.0850.
    """
    second = state["square_avg"]
    if group["centered"]:
        second = second - state["grad_avg"].square()
    if group["momentum"]:
        buffer = state["momentum_buffer"]
        return Moments(group["lr"] * buffer, buffer, second)
    return Moments(group["lr"] * gradient / (second.sqrt() + group["eps"]), None, second)


def adadelta(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Lr d, d = sqrt(u + eps) / sqrt(v + eps) g, where u = mean of d^2 before this step.

    Zeiler 2012, algorithm 1. The state has u' = rho u + (1 - rho) d^2 after it, which this solves
    for u.
    """
    rho, eps = group["rho"], group["eps"]
    ratio = gradient.square() / (state["square_avg"] + eps)
    before = (state["acc_delta"] - (1 - rho) * eps * ratio) / (rho + (1 - rho) * ratio)
    update = (before.clamp(min=0) + eps).sqrt() * ratio.sqrt() * gradient.sign()
    return Moments(group["lr"] * update, None, state["square_avg"])


def adam(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Lr m_hat / (sqrt(v_hat) + eps): Kingma & Ba 2015, algorithm 1; AdamW is the same."""
    one, two = (bias_correction(beta, state["step"]) for beta in group["betas"])
    first = state["exp_avg"] / one
    second = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"] / two
    update = group["lr"] * first / (second.sqrt() + group["eps"])
    return Moments(update, first, second, (("bias_correction1", one), ("bias_correction2", two)))


def nadam(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Adam's with the next step's momentum: Dozat 2016."""
    (beta, _), decay, step = group["betas"], group["momentum_decay"], state["step"]
    two = bias_correction(group["betas"][1], step)
    now, then = (beta * (1 - 0.5 * 0.96 ** (t * decay)) for t in (step, step + 1))
    one = 1 - state["mu_product"]
    mean = (1 - now) / one * gradient + then / (1 - state["mu_product"] * then) * state["exp_avg"]
    second = state["exp_avg_sq"] / two
    update = group["lr"] * mean / (second.sqrt() + group["eps"])
    phases = (("bias_correction1", one), ("bias_correction2", two))
    return Moments(update, state["exp_avg"], second, phases)


def radam(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Lr r m_hat / sqrt(v_hat) once the variance is tractable, lr m_hat before.

    Liu et al. 2020, algorithm 2; r is the rectification, 0 to 1.
    """
    (_, beta), step = group["betas"], state["step"]
    one, two = (bias_correction(b, step) for b in group["betas"])
    longest = 2 / (1 - beta) - 1
    length = longest - 2 * step * (1 - two) / two
    rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    rectified = torch.where(length > 5, rectified.clamp(min=0).sqrt(), 0)
    first, second = state["exp_avg"] / one, state["exp_avg_sq"] / two
    adaptive = first * rectified * two.sqrt() / (state["exp_avg_sq"].sqrt() + group["eps"])
    update = group["lr"] * torch.where(length > 5, adaptive, first)
    phases = (("bias_correction1", one), ("bias_correction2", two), ("rectification", rectified))
    return Moments(update, first, second, phases)


def adamax(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Lr m_hat / u, u the decayed largest |g|: Kingma & Ba 2015, algorithm 2; second is u^2."""
    one = bias_correction(group["betas"][0], state["step"])
    first, largest = state["exp_avg"] / one, state["exp_inf"]
    phases = (("bias_correction1", one),)
    return Moments(group["lr"] * first / largest, first, largest.square(), phases)


def rprop(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """The step size with the gradient's sign; none where the sign has just changed.

    Riedmiller & Braun 1993, without stepping back: the iRprop- of Igel & Huesken 2000.
    """
    return Moments(state["step_size"] * state["prev"].sign())


def asgd(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Eta g, with the eta of before the step: Polyak & Juditsky 1992.

    Their average of the parameters is no part of the step.
    """
    return Moments(state["eta_before"] * gradient)


def applied(group: dict, state: dict[str, Tensor], gradient: Tensor) -> Moments:
    """Where the update is no function of single parameters: as it was applied.

    Adafactor: Shazeer & Stern 2018, algorithm 4; LBFGS: Liu & Nocedal 1989; Muon: Jordan et al.
    2024, https://kellerjordan.github.io/posts/muon.
    """
    return Moments(state["applied"], state.get("momentum_buffer"), state.get("variance"))


FORMULAS: dict[type[optim.Optimizer], Callable[[dict, dict[str, Tensor], Tensor], Moments]] = {
    optim.SGD: sgd,
    optim.Adagrad: adagrad,
    optim.RMSprop: rmsprop,
    optim.Adadelta: adadelta,
    optim.Adam: adam,
    optim.AdamW: adam,
    optim.NAdam: nadam,
    optim.RAdam: radam,
    optim.Adamax: adamax,
    optim.Rprop: rprop,
    optim.ASGD: asgd,
}


def is_decoupled(optimizer: optim.Optimizer, group: dict) -> bool:
    """Whether weight decay shrinks the parameter itself, by lr * weight_decay of it."""
    decoupled = isinstance(optimizer, (optim.Adafactor, optim.Muon))
    return decoupled or group.get("decoupled_weight_decay", False)

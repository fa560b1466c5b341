"""Rounding of weights and inputs to the numbers that 8-bit integers stand for.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", https://arxiv.org/abs/1712.05877, with a step for each output of
a layer as in Krishnamoorthi 2018, https://arxiv.org/abs/1806.08342, section 3.

    r = S (q - Z)    (section 2.1, equation 1)

with the real number r, the integer q, the step S and the zero point Z. Z of weights is 0.
"""

from torch import Tensor

INPUTS = 255  # the largest integer of an input; the smallest is 0
# The largest integer of a weight, of either sign. Processors without VNNI add two products of
# integers of 8 bits in 16: 2 * 255 * 64 = 32640 fits, and with 127 such sums would be cut off.
WEIGHTS = 64
SMALLEST = 1e-12  # of a step


def weight_steps(weight: Tensor) -> Tensor:
    """The step of each output: its largest weight by WEIGHTS, (outputs,).

    Args:
        weight: (outputs, ...)
    """
    return weight.detach().abs().flatten(1).amax(1).clamp(min=SMALLEST) / WEIGHTS


def input_step(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The step and the zero point of inputs; 0 is one of the numbers (section 2.1).

    Args:
        low: smallest input
        high: largest input
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    step = (high - low).clamp(min=SMALLEST) / INPUTS
    return step, (-low / step).round().clamp(0, INPUTS)


def rounded_weight(weight: Tensor, steps: Tensor) -> Tensor:
    """S q of a weight (outputs, ...); its gradient is passed on (section 3).

    Args:
        weight: (outputs, ...)
        steps: S, (outputs,)
    """
    shape = [-1] + [1] * (weight.ndim - 1)
    return nearest(weight / steps.view(shape)) * steps.view(shape)


def rounded_input(inputs: Tensor, step: Tensor, zero: Tensor) -> Tensor:
    """S (q - Z) of inputs; the gradient is passed on where q is not cut off (section 3)."""
    return (nearest(inputs / step + zero).clamp(0, INPUTS) - zero) * step


def nearest(values: Tensor) -> Tensor:
    """The nearest integers, halves to even ones, with the gradient of the values themselves.

    Exact: the difference of two floating-point numbers within a factor of 2 is.
    """
    return values + (values.round() - values).detach()

"""Gradient clipping where one optimizer trains several networks."""

import torch
from lightning.pytorch import LightningModule
from torch import nn


def clip_groups(
    module: LightningModule,
    optimizer: torch.optim.Optimizer,
    limit: float | None,
    algorithm: str | None,
) -> None:
    """Clips each network by its own norm, so that none changes another's step.

    A parameter group is a network, unless it says which network it is of.

    To be called from `configure_gradient_clipping`, with its arguments. Lightning's own clipping
    takes one norm over all.

    Args:
        module: being trained
        optimizer: whose groups are clipped
        limit: of the norm, or of each value; as in Lightning, nothing is clipped without one above
            0 (a negative one would turn the gradient round)
        algorithm: norm or value; by default norm

    Raises:
        ValueError: if the gradients are still scaled: in fp16, a fused optimizer unscales them
            only in its own step
    """
    if not limit or limit < 0:
        return
    scaled = getattr(module.trainer.precision_plugin, "scaler", None) is not None
    if scaled and getattr(optimizer, "_step_supports_amp_scaling", False):
        raise ValueError("clipping in fp16 needs --model.optimizer.fused=false")
    clip = nn.utils.clip_grad_value_ if algorithm == "value" else nn.utils.clip_grad_norm_
    networks: dict[object, list[nn.Parameter]] = {}
    for number, group in enumerate(optimizer.param_groups):
        networks.setdefault(group.get("network", number), []).extend(group["params"])
    for weights in networks.values():
        clip(weights, limit)

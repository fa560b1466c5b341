"""Whether numbers are finite: losses, gradients, and a network's weights and buffers."""

from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm


def finite(tensors: list[Tensor]) -> bool:
    """Whether all elements are."""
    tensors = [t.coalesce().values() if t.is_sparse else t for t in tensors]
    if not tensors:
        return True
    # The sum of squares is 30 times as fast on a CPU; where it overflows, the largest size decides.
    for order in (2.0, torch.inf):
        norm = get_total_norm([tensor.detach() for tensor in tensors], order)
        if (norm.full_tensor() if isinstance(norm, DTensor) else norm).isfinite():
            return True
    return False


def first_not_finite(tensors: dict[str, Tensor]) -> str | None:
    """The name of the first tensor that has an element which is not finite; None if none has."""
    if finite(list(tensors.values())):
        return None
    return next(name for name, tensor in tensors.items() if not finite([tensor]))


def saved_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers of floating-point numbers that a module's `state_dict` has, with their names."""
    for prefix, part in module.named_modules():
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_floating_point() and name not in part._non_persistent_buffers_set:
                yield (f"{prefix}.{name}" if prefix else name), buffer


def finite_buffers(module: nn.Module) -> set[str]:
    """The names of the saved buffers that are finite, as a mask of -inf is not."""
    return {name for name, buffer in saved_buffers(module) if finite([buffer])}


def spoiled(module: nn.Module, were_finite: Collection[str]) -> str | None:
    """The name of a weight or buffer that divergence has spoiled; None if all are sound.

    Batch-norm's running variance becomes infinite while all weights are finite.

    Args:
        module: whose parameters shall be finite
        were_finite: the names of the buffers that shall be too: `finite_buffers` of an earlier time
    """
    buffers = {name: buffer for name, buffer in saved_buffers(module) if name in were_finite}
    # Not together: where weights are sharded, buffers are not.
    return first_not_finite(dict(module.named_parameters())) or first_not_finite(buffers)


def first_diverged(weights: dict[str, Tensor]) -> str | None:
    """The name of the first weight or buffer in a file that divergence has spoiled, if any is.

    It has NaN or infinity; -infinity may be a mask's.
    """
    numbers = {n: v.clamp(min=0) for n, v in weights.items() if v.is_floating_point()}
    return first_not_finite(numbers)

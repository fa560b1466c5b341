"""Data parallel training under manual optimization, where networks take turns."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.optim import Optimizer


def in_one_message(tensors: Iterable[Tensor], communicate: Callable[[Tensor], object]) -> None:
    """Lets processes exchange tensors, which are changed in place, as one flat one for each type.

    Args:
        tensors: on all processes of the same shapes and types
        communicate: a collective on one tensor, in place
    """
    kinds = defaultdict(list)
    for tensor in tensors:
        kinds[tensor.dtype].append(tensor)
    for kind in kinds.values():
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in kind])
        communicate(flat)
        for tensor, part in zip(kind, flat.split([t.numel() for t in kind]), strict=True):
            tensor.detach().copy_(part.view_as(tensor))


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over all processes.

    A process without a gradient that another one has takes part with zeros; a gradient that no
    process has stays None.

    Args:
        parameters: the same on all processes
    """
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    lacking = [parameter for parameter in parameters if parameter.grad is None]
    given = torch.ones(len(parameters), device=parameters[0].device)
    for number, parameter in enumerate(parameters if lacking else ()):
        given[number] = parameter.grad is not None
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]

    def mean(flat: Tensor) -> None:
        dist.all_reduce(flat)
        flat /= dist.get_world_size()

    in_one_message([*gradients, given], mean)
    for parameter, gradient, share in zip(parameters, gradients, given, strict=True):
        if parameter.grad is None and share > 0:
            parameter.grad = gradient


class ManualDDP(DDPStrategy):
    """Data parallel training without a wrapper: gradients are averaged when their optimizer steps.

    torch's DistributedDataParallel waits in each backward pass for the gradients of all parameters.
    Where a generator and a discriminator take turns it waits in vain, unless it looks for unused
    parameters in every pass. Here an optimizer's step averages the gradients of its own
    parameters, in one message: of all batches that were accumulated, before clipping, and before
    float16's scale is taken out, so that an overflow of one process skips the step of all.

    As in DistributedDataParallel, weights are rank 0's at the start and buffers, such as
    batch-norm's statistics, before every batch; here also before an evaluation.
    """

    def configure_ddp(self) -> None:
        in_one_message((*self.model.parameters(), *self.model.buffers()), from_rank_zero)

    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: nn.Module | None = None,
        **kwargs: Any,  # noqa: ANN401 - of the optimizer's step
    ) -> Any:  # noqa: ANN401 - as in Lightning
        def averaged() -> Any:  # noqa: ANN401 - whatever the closure returns
            loss = closure()
            average_gradients(p for group in optimizer.param_groups for p in group["params"])
            return loss

        return super().optimizer_step(optimizer, averaged, model, **kwargs)

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        in_one_message(self.model.buffers(), from_rank_zero)

    def on_validation_start(self) -> None:
        in_one_message(self.model.buffers(), from_rank_zero)


def from_rank_zero(tensor: Tensor) -> None:
    """Replaces a tensor by that of the first process."""
    dist.broadcast(tensor, 0)


@contextmanager
def manual_ddp() -> Iterator[None]:
    """Within it, a Trainer's strategies named ddp..., and its choice for devices, are ManualDDP.

    Also those that look for unused parameters: under manual optimization Lightning keeps torch's
    from exchanging buffers, and each process would evaluate with statistics of its own.
    """
    before = {name: entry for name, entry in StrategyRegistry.items() if name.startswith("ddp")}
    for name, entry in before.items():
        StrategyRegistry.register(name, ManualDDP, override=True, **entry["init_params"])
    try:
        yield
    finally:
        StrategyRegistry.update(before)

"""Hidden states of streams: carried from batch to batch, and kept in checkpoints."""

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from datamodules.loading.loader import data_rank
from recipes.parts.known import full
from recipes.parts.sharding import data_group

State = tuple[Tensor, ...]  # (layers, streams, width) each


def next_logits(
    network: nn.Module, tokens: Tensor, state: State | None = None
) -> tuple[Tensor, State | None]:
    """Logits of each next token, at least float32, and the state behind the last one.

    Args:
        network: maps tokens, and a state if there is one, to logits (batch, length, vocabulary),
            or to a pair of these and the state behind the tokens
        tokens: (batch, length), int64
        state: behind the tokens before
    """
    found = network(tokens) if state is None else network(tokens, state)
    logits, state = found if isinstance(found, tuple) else (found, None)
    return full(logits), state


def detached(state: State | None) -> State | None:
    """A state as a constant: back-propagation ends here."""
    return state and tuple(part.detach() for part in state)


def of_all_processes(state: State, module: LightningModule) -> list[Tensor]:
    """The states of all processes' streams, on the CPU, in the order of the streams.

    To be called by all processes.
    """
    processes = data_rank(module.trainer)[1]
    if processes == 1:
        return [part.cpu().clone() for part in state]
    found = []
    for part in state:
        shares = [torch.empty_like(part) for _ in range(processes)]
        dist.all_gather(shares, part.contiguous(), group=data_group(module))
        # Process r has the streams r, r + processes, r + 2 processes ...
        found.append(torch.stack(shares, 2).flatten(1, 2).cpu())
    return found


def of_this_process(state: list[Tensor], module: LightningModule) -> State:
    """The states of this process's streams, on its device, of those of all processes."""
    rank, processes = data_rank(module.trainer)
    return tuple(part[:, rank::processes].contiguous().to(module.device) for part in state)

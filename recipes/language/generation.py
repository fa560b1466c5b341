"""Texts that a language model writes, token by token."""

import torch
from torch import Tensor, nn

from recipes.language.states import next_logits


def nucleus(logits: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """Probabilities of the next token, of the most probable ones alone.

    Holtzman et al. 2020, section 3.1, https://arxiv.org/abs/1904.09751: the smallest set of tokens
    whose probabilities sum to at least top_p, scaled to sum to 1.

    Args:
        logits: (batch, vocabulary)
        temperature: that logits are divided by, above 0; below 1 it favours the probable
        top_p: 0 to 1; 1 keeps all, 0 the most probable one

    Returns:
        (batch, vocabulary)
    """
    probabilities = (logits / temperature).softmax(-1)
    ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # of all tokens that are more probable
    dropped = before >= top_p
    dropped[:, 0] = False
    kept = torch.zeros_like(ordered).scatter(-1, places, ordered.masked_fill(dropped, 0))
    return kept / kept.sum(-1, keepdim=True)


@torch.no_grad()
def generate(
    network: nn.Module,
    prompt: Tensor,
    count: int,
    temperature: float,
    top_p: float,
    generator: torch.Generator,
) -> Tensor:
    """Continues texts; each token is seen once, as the network keeps its state.

    Where the network's `context` is full, it goes on from the last half of it.

    Args:
        network: as for `next_logits`, in evaluation mode
        prompt: (batch, length), at least one token
        count: of tokens that are added
        temperature: as in `nucleus`
        top_p: as in `nucleus`
        generator: on the CPU, that tokens are drawn by

    Returns:
        (batch, count)
    """
    context = getattr(network, "context", None) or prompt.shape[1] + count
    text, unseen = prompt, prompt[:, -context:]
    state, seen = None, 0
    for _ in range(count):
        if seen + unseen.shape[1] > context:
            state, seen, unseen = None, 0, text[:, -max(1, context // 2) :]
        logits, state = next_logits(network, unseen, state)
        chances = nucleus(logits[:, -1], temperature, top_p).cpu()
        token = torch.multinomial(chances, 1, generator=generator).to(prompt.device)
        text = torch.cat([text, token], 1)
        if state is None:  # a network without one sees all of it again
            unseen = torch.cat([unseen, token], 1)
        else:
            unseen, seen = token, seen + unseen.shape[1]
    return text[:, -count:]

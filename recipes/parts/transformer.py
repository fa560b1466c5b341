"""A Transformer language model: the decoder of GPT-2."""

import math
from typing import Literal

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.distributed.tensor.parallel.style import ParallelStyle
from torch.nn import functional as F

from datamodules.loading.splits import Share
from recipes.parts.networks import Head, Width
from recipes.parts.tensor_parallel import alternating

State = tuple[Tensor, ...]  # keys and values of each layer in turn, (batch, heads, length, size)
Rotation = tuple[Tensor, Tensor]  # cosines and sines, (length, size)


def rotation(positions: Tensor, size: int) -> Rotation:
    """Angles of rotary positions: Su et al. 2021, equation 15, https://arxiv.org/abs/2104.09864.

    Args:
        positions: (length,)
        size: values in a head, even
    """
    rates = 10_000 ** (-torch.arange(0, size, 2, device=positions.device) / size)
    angles = torch.outer(positions.float(), rates).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotated(values: Tensor, by: Rotation) -> Tensor:
    """Queries or keys (batch, heads, length, size), each pair of values turned by its angle.

    A pair is value i and value i + size / 2. A product of two depends on the difference of their
    positions alone.
    """
    cosine, sine = (part.to(values.dtype) for part in by)
    first, second = values.chunk(2, -1)
    return values * cosine + torch.cat([-second, first], -1) * sine


class Block(nn.Module):
    """Attention to the tokens before, then a network of each token: both added to their inputs.

    Pre-norm: Radford et al. 2019 (GPT-2), section 2.3.

    Args:
        width: values of a token
        heads: of the attention
        dropout: share of attention weights, and of what is added, that is dropped while training
        bias: whether linear layers and norms have one
    """

    def __init__(self, width: int, heads: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.size, self.rate = width // heads, dropout
        self.attention_norm = nn.LayerNorm(width, bias=bias)
        self.query_key_value = nn.Linear(width, 3 * width, bias=bias)
        self.attended = nn.Linear(width, width, bias=bias)
        self.hidden_norm = nn.LayerNorm(width, bias=bias)
        self.hidden = nn.Linear(width, 4 * width, bias=bias)
        self.output = nn.Linear(4 * width, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, turn: Rotation | None, before: State | None
    ) -> tuple[Tensor, State]:
        """From (batch, length, width) to the same; its keys and values so far, unless it trains."""
        attended, state = self.attend(self.attention_norm(x), turn, before)
        x = x + self.dropout(self.attended(attended))
        hidden = F.gelu(self.hidden(self.hidden_norm(x)))
        return x + self.dropout(self.output(hidden)), state

    def attend(
        self, x: Tensor, turn: Rotation | None, before: State | None
    ) -> tuple[Tensor, State]:
        """Each token's mean of values, weighted by softmax(q k / sqrt(size)) of those before it."""
        # Head by head, so that a process of several can have some heads whole.
        heads = self.query_key_value(x).unflatten(-1, (-1, 3, self.size))
        query, key, value = (part.transpose(1, 2) for part in heads.unbind(-2))
        if turn is not None:
            query, key = rotated(query, turn), rotated(key, turn)
        if before is not None:
            earlier = (part.to(key.dtype) for part in before)
            key, value = (torch.cat(pair, 2) for pair in zip(earlier, (key, value), strict=True))
        length, total = query.shape[2], key.shape[2]
        mask = None  # is_causal's mask is for no tokens before
        if before is not None:
            mask = torch.ones(length, total, dtype=torch.bool, device=x.device)
            mask = mask.tril(total - length)
        rate = self.rate if self.training else 0.0
        found = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=rate, is_causal=mask is None
        )
        # In training they would only take memory, also that which checkpoints of activations save.
        state = () if self.training else (key, value)
        return found.transpose(1, 2).flatten(2), state


class TransformerLanguageModel(nn.Module):
    """A decoder: tokens attend to those before them, through pre-norm blocks.

    Radford et al., "Language Models are Unsupervised Multitask Learners" (2019, GPT-2); weights
    start as there: normal with standard deviation 0.02, those of layers whose outputs are added to
    the residual path divided by sqrt(2 layers).

    Args:
        vocabulary: number of different tokens
        context: tokens that it can see at a time
        layers: blocks
        heads: of each block's attention, a divisor of width
        width: values in an embedding
        dropout: share of attention weights, of embeddings, and of what blocks add, that is dropped
            while training, from 0 to below 1
        positions: learned: an embedding of each position; rotary: queries and keys are turned by it
        tied: whether the logits have the embedding's weights (Press & Wolf 2017,
            https://arxiv.org/abs/1608.05859)
        bias: whether linear layers and norms have one

    Raises:
        ValueError: if width does not divide by heads, or a head's values by two with rotary
    """

    carries_state = False  # in training, where each row of a batch is seen by itself

    def __init__(
        self,
        vocabulary: Width,
        context: Width = 64,
        layers: PositiveInt = 4,
        heads: PositiveInt = 4,
        width: PositiveInt = 128,
        dropout: Share = 0.0,
        positions: Literal["learned", "rotary"] = "learned",
        tied: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if width % heads or (positions == "rotary" and width // heads % 2):
            raise ValueError(f"width={width} does not divide by heads={heads} into even sizes")
        # An int, which torch.export compares with lengths that it leaves open.
        self.context, self.heads, self.size = int(context), heads, width // heads
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width) if positions == "learned" else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout, bias) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=bias)
        self.head = Head(width, vocabulary, bias=False)
        if tied:
            self.head.weight = self.embedding.weight
        self._initialise()

    def _initialise(self) -> None:
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                added = name.endswith(("attended.weight", "output.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * len(self.blocks) if added else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def tensor_parallel_plan(self) -> dict[str, ParallelStyle]:
        """Of each block the heads, and the units of its hidden layer, are split."""
        pairs = (("query_key_value", "attended"), ("hidden", "output"))
        plan: dict[str, ParallelStyle] = {}
        for number in range(len(self.blocks)):
            for pair in pairs:
                plan |= alternating([f"blocks.{number}.{name}" for name in pair])
        return plan

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of each next token, and the keys and values of all tokens so far.

        Args:
            tokens: (batch, length), int64
            state: of the tokens before, as this returned it; None: there are none

        Returns:
            logits (batch, length, vocabulary); the state, empty while training

        Raises:
            ValueError: if there are more tokens than the context has
        """
        start = state[0].shape[2] if state else 0
        total = start + tokens.shape[1]
        if total > self.context:
            raise ValueError(f"{total} tokens, but --model.network.context={self.context}")
        x, turn = self.embedding(tokens), None
        positions = torch.arange(start, total, device=tokens.device)
        if self.position is not None:
            x = x + self.position(positions)
        else:
            turn = rotation(positions, self.size)
        x, after = self.dropout(x), []
        for number, block in enumerate(self.blocks):
            before = state[2 * number : 2 * number + 2] if state else None
            x, kept = block(x, turn, before)
            after += kept
        return self.head(self.norm(x)), tuple(after)

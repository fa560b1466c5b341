"""Recurrent language models."""

from typing import Literal

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from datamodules.loading.splits import Share
from recipes.parts.kernels import run_recurrent
from recipes.parts.networks import Head, Width
from recipes.parts.numbers import PositiveFinite

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}
State = tuple[Tensor, ...]  # of an LSTM its h and c, of a GRU its h: (layers, batch, width) each


class LSTMLanguageModel(nn.Module):
    """Layers of LSTM or GRU between an embedding of the tokens and their logits.

    Zaremba, Sutskever & Vinyals, "Recurrent Neural Network Regularization" (2014),
    https://arxiv.org/abs/1409.2329: dropout is on what goes from layer to layer (equation 3 and
    figure 2), never on what goes from token to token; all weights start uniform.

    Args:
        vocabulary: number of different tokens
        layers: of the recurrent network
        width: values in an embedding, and units in each layer
        dropout: share of the values between layers that are dropped while training, below and above
            the first and the last too, from 0 to below 1
        initial: weights and biases start uniform between -initial and initial
        tied: whether the logits have the embedding's weights (Press & Wolf 2017,
            https://arxiv.org/abs/1608.05859)
        cell: of the layers: lstm or gru (Cho et al. 2014)
    """

    carries_state = True  # from batch to batch, where these are the same streams

    def __init__(
        self,
        vocabulary: Width,
        layers: PositiveInt = 2,
        width: PositiveInt = 200,
        dropout: Share = 0.0,
        initial: PositiveFinite = 0.1,
        tied: bool = False,
        cell: Literal["lstm", "gru"] = "lstm",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        between = dropout if layers > 1 else 0.0
        self.recurrent = CELLS[cell](width, width, layers, dropout=between, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = Head(width, vocabulary)
        if tied:
            self.head.weight = self.embedding.weight
        for weight in self.parameters():
            nn.init.uniform_(weight, -initial, initial)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of each next token, and the state behind the last one.

        Args:
            tokens: (batch, length), int64
            state: behind the tokens before, as this returned it; None: zeros

        Returns:
            logits (batch, length, vocabulary); the state
        """
        inputs = self.dropout(self.embedding(tokens))
        hidden, state = run_recurrent(self.recurrent, inputs, self._given(state, inputs.dtype))
        return self.head(self.dropout(hidden)), self._taken(state)

    def _given(self, state: State | None, dtype: torch.dtype) -> State | Tensor | None:
        """A state as torch's GRU and LSTM take it, also one of a run of another precision."""
        if state is None:
            return None
        state = tuple(part.to(dtype) for part in state)
        return state[0] if len(state) == 1 else state

    def _taken(self, state: State | Tensor) -> State:
        """A state as a tuple, whatever the cell."""
        return (state,) if isinstance(state, torch.Tensor) else tuple(state)

"""Networks that classify sentences: tokens (batch, length), with 0 behind the end of shorter ones.

What stands behind the end changes nothing, so that a sentence's logits depend on it alone.
"""

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.loading.splits import Share
from datamodules.reading.vocabulary import PADDING
from recipes.parts.kernels import run_recurrent
from recipes.parts.networks import Head, Width


def embedding(vocabulary: int, width: int, initial: float) -> nn.Embedding:
    """An embedding that starts uniform between -initial and initial; that of padding stays 0."""
    made = nn.Embedding(vocabulary, width, padding_idx=PADDING)
    with torch.no_grad():
        made.weight[1:].uniform_(-initial, initial)
    return made


class TextCNN(nn.Module):
    """Windows of words, and of each filter its largest value over the sentence.

    Kim, "Convolutional Neural Networks for Sentence Classification" (2014), section 2,
    https://arxiv.org/abs/1408.5882, its CNN-rand: words start random. A window may reach over
    either end, where it sees zeros.

    Args:
        vocabulary: number of different tokens
        outputs: number of classes
        width: values in a word's embedding
        windows: words in a window, of each kind of filter
        filters: of each kind
        dropout: share of the largest values that is dropped while training, from 0 to below 1
    """

    def __init__(
        self,
        vocabulary: Width,
        outputs: Width,
        width: PositiveInt = 300,
        windows: tuple[PositiveInt, ...] = (3, 4, 5),
        filters: PositiveInt = 100,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = embedding(vocabulary, width, 0.25)
        self.filters = nn.ModuleList(
            nn.Conv1d(width, filters, window, padding=window - 1) for window in windows
        )
        self.dropout = nn.Dropout(dropout)
        self.head = Head(filters * len(self.filters), outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, classes) of tokens (batch, length)."""
        words = self.embedding(tokens).transpose(1, 2)
        lengths = (tokens != PADDING).sum(1, keepdim=True)
        return self.head(
            self.dropout(torch.cat([self.largest(f, words, lengths) for f in self.filters], 1))
        )

    def largest(self, filters: nn.Conv1d, words: Tensor, lengths: Tensor) -> Tensor:
        """The largest value of each filter over the windows that see a word, (batch, filters)."""
        values = F.relu(filters(words))
        place = torch.arange(values.shape[2], device=values.device)
        sees = place < lengths + filters.kernel_size[0] - 1
        return torch.where(sees.unsqueeze(1), values, 0).amax(2)


class LSTMClassifier(nn.Module):
    """An LSTM that reads the sentence, and one that reads it backwards: their last states.

    Args:
        vocabulary: number of different tokens
        outputs: number of classes
        width: values in a word's embedding
        units: of each LSTM's layer
        layers: of each
        both_ways: whether there is one that reads backwards
        dropout: share of words' values, and of last states, that is dropped while training, from 0
            to below 1
    """

    def __init__(
        self,
        vocabulary: Width,
        outputs: Width,
        width: PositiveInt = 100,
        units: PositiveInt = 128,
        layers: PositiveInt = 1,
        both_ways: bool = True,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = embedding(vocabulary, width, 0.25)
        readers = 2 if both_ways else 1
        self.readers = nn.ModuleList(
            nn.LSTM(width, units, layers, batch_first=True) for _ in range(readers)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = Head(units * readers, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, classes) of tokens (batch, length)."""
        lengths = (tokens != PADDING).sum(1)
        ways = [tokens, backwards(tokens, lengths)][: len(self.readers)]
        ends = [self.read(r, way, lengths) for r, way in zip(self.readers, ways, strict=True)]
        return self.head(self.dropout(torch.cat(ends, 1)))

    def read(self, reader: nn.LSTM, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The state behind each sentence's last word, (batch, units)."""
        states, _ = run_recurrent(reader, self.dropout(self.embedding(tokens)))
        last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
        return states.gather(1, last).squeeze(1)


def backwards(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Sentences with their words the other way round, (batch, length); padding stays behind.

    torch's packed sequences do that too, but fail under DDP (pytorch-lightning #16397).
    """
    place = torch.arange(tokens.shape[1], device=tokens.device)
    source = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
    return tokens.gather(1, source)


class TransformerClassifier(nn.Module):
    """Pre-norm encoder layers, and the mean over the sentence's words.

    Vaswani et al. 2017, section 3.1, https://arxiv.org/abs/1706.03762, with the norms before the
    layers; positions are learned.

    Args:
        vocabulary: number of different tokens
        outputs: number of classes
        context: tokens of the longest sentence
        width: values of a word
        layers: of the encoder
        heads: of each layer's attention, a divisor of width
        dropout: share that is dropped while training, from 0 to below 1
    """

    def __init__(
        self,
        vocabulary: Width,
        outputs: Width,
        context: Width = 256,
        width: PositiveInt = 128,
        layers: PositiveInt = 2,
        heads: PositiveInt = 4,
        dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width={width} does not divide by heads={heads}")
        self.embedding = embedding(vocabulary, width, 0.25)
        self.positions = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        options = {"batch_first": True, "norm_first": True, "activation": "gelu"}
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, **options)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = Head(width, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, classes) of tokens (batch, length)."""
        is_padding = tokens == PADDING
        is_padding[:, 0] = False  # a sentence without a word is one of padding
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.dropout(self.embedding(tokens) + self.positions(places))
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=is_padding)
        words = self.norm(hidden) * ~is_padding.unsqueeze(2)
        return self.head(words.sum(1) / (~is_padding).sum(1, keepdim=True))

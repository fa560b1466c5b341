"""An input, the features that it is made of, and what is predicted without some of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from datamodules.reading.vocabulary import PADDING

# From inputs of the network (n, ...) to what is explained, (n,).
Function = Callable[[Tensor], Tensor]
AT_ONCE = 4096  # inputs of one pass


class Subject(ABC):
    """One input of a network.

    Attributes:
        features: names of what it is made of
        values: what each is in this input, as text
        point: where gradients are taken, (...)
        baselines: what absent features are replaced by, one or several, (baselines, ...)
        background: between which and `point` gradients are averaged by gradient_shap, (rows, ...)
    """

    features: list[str]
    values: list[str]
    point: Tensor
    baselines: Tensor
    background: Tensor

    @abstractmethod
    def at(self, points: Tensor) -> Tensor:
        """What is explained at points (n, ...), (n,); differentiable."""

    @abstractmethod
    def with_present(self, present: Tensor) -> Tensor:
        """What is explained where some features alone are there, (n,); the mean over baselines.

        Args:
            present: 1 where a feature is there, else 0, (n, features)
        """

    @abstractmethod
    def by_feature(self, values: Tensor) -> Tensor:
        """Sums over each feature's part of `point`, (features,), of values in its shape."""


class Masked(Subject):
    """Columns of a table or patches of a picture: absent ones are as in a baseline.

    Args:
        function: that is explained
        point: the input, (...)
        baselines: (baselines, ...)
        owner: number of the feature that each value of the input is of, in its shape
        features: names
        values: as text
        background: (rows, ...)
    """

    def __init__(
        self,
        function: Function,
        point: Tensor,
        baselines: Tensor,
        owner: Tensor,
        features: list[str],
        values: list[str],
        background: Tensor,
    ) -> None:
        self.function, self.point, self.baselines, self.owner = function, point, baselines, owner
        self.features, self.values, self.background = features, values, background

    def at(self, points: Tensor) -> Tensor:
        return self.function(points)

    @torch.no_grad()
    def with_present(self, present: Tensor) -> Tensor:
        rows = max(1, AT_ONCE // len(self.baselines))
        return torch.cat([self._some(part) for part in present.split(rows)])

    def _some(self, present: Tensor) -> Tensor:
        mask = present.to(self.point.dtype)[:, self.owner].unsqueeze(1)
        inputs = mask * self.point + (1 - mask) * self.baselines
        return self.function(inputs.flatten(0, 1)).unflatten(0, (len(present), -1)).mean(1)

    def by_feature(self, values: Tensor) -> Tensor:
        sums = values.new_zeros(len(self.features))
        return sums.index_add(0, self.owner.flatten(), values.flatten())


class Words(Subject):
    """A text: absent words are left out, and the others move together.

    Gradients are taken where the network has embedded the words; their baseline is the embedding
    of padding, all zeros.

    Args:
        function: that is explained, of tokens (n, length)
        tokens: (length,), without padding
        words: as they are written; None for tokens that are no words and stay in every text
        embedding: the network's, of its words; None: no gradients
    """

    def __init__(
        self,
        function: Function,
        tokens: Tensor,
        words: Sequence[str | None],
        embedding: nn.Embedding | None,
    ) -> None:
        self.function, self.tokens, self.embedding = function, tokens, embedding
        self.is_word = torch.tensor([word is not None for word in words], dtype=torch.bool)
        self.features = self.values = [word for word in words if word is not None]
        if embedding is not None:
            self.point = self._embedded()
            self.baselines = self.point.clone().unsqueeze(0)
            self.baselines[:, self.is_word] = 0
            self.background = self.baselines

    @torch.no_grad()
    def _embedded(self) -> Tensor:
        """What the network embeds, which may number tokens in another way; (length, width)."""
        found: list[Tensor] = []
        handle = self.embedding.register_forward_hook(lambda *given: found.append(given[2][0]))
        try:
            self.function(self.tokens.unsqueeze(0))
        finally:
            handle.remove()
        return found[0].clone()

    def at(self, points: Tensor) -> Tensor:
        with embedded(self.embedding, points):
            return self.function(self.tokens.expand(len(points), -1))

    @torch.no_grad()
    def with_present(self, present: Tensor) -> Tensor:
        return torch.cat([self.function(self.left(part)) for part in present.split(AT_ONCE)])

    def left(self, present: Tensor) -> Tensor:
        """The tokens of the words that are there, padding behind them, (n, length)."""
        is_there = torch.ones(len(present), len(self.tokens), dtype=torch.bool)
        is_there[:, self.is_word] = present > 0.5
        order = (~is_there).long().argsort(dim=1, stable=True)
        return torch.where(is_there.gather(1, order), self.tokens[order], PADDING)

    def by_feature(self, values: Tensor) -> Tensor:
        return values.sum(1)[self.is_word]


@contextmanager
def embedded(layer: nn.Embedding, values: Tensor) -> Iterator[None]:
    """Within it an embedding gives these values, (n, length, width), whatever it is asked."""
    handle = layer.register_forward_hook(lambda module, inputs, output: values)
    try:
        yield
    finally:
        handle.remove()

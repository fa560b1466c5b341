"""A user's own code, as a config names it."""

from torch import Tensor, nn

from recipes.parts.networks import MLP


def small(width: int = 4) -> nn.Module:
    """A network for the digits."""
    return MLP(64, [width])


class Several(MLP):
    """A network that gives its features too."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(64, [4])
        self.names = names

    def forward(self, inputs: Tensor) -> dict[str, Tensor] | tuple[Tensor, Tensor]:
        features = self.features(inputs)
        parts = features, self.head(features)
        return dict(zip(self.names, parts, strict=True)) if self.names else parts


def strs() -> nn.Module:
    """One whose output is a dict."""
    return Several(("features", "logits"))


def ints() -> nn.Module:
    """One whose output is a tuple."""
    return Several(())

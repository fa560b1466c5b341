"""A Q-network of two streams: the value of a state, and what each action adds to it."""

from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from recipes.parts.networks import Head, Width


class DuellingMLP(nn.Module):
    """Fully connected layers with ReLU, and Q(s, a) = V(s) + A(s, a) - mean over a of A(s, a).

    Wang et al. 2016, "Dueling Network Architectures for Deep Reinforcement Learning", equation 9.

    Args:
        inputs: values in an observation
        widths: units of each hidden layer; the last one is there twice, once for V and once for A
        outputs: actions

    Raises:
        ValueError: with fewer than two hidden layers
    """

    def __init__(self, inputs: Width, widths: list[PositiveInt], outputs: Width) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"widths={widths}: two layers at least, the last one for each stream")
        self.inputs = inputs
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip([inputs, *widths], widths[:-1], strict=False):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.value, self.advantage = (
            nn.Sequential(nn.Linear(widths[-2], widths[-1]), nn.ReLU(), Head(widths[-1], count))
            for count in (1, outputs)
        )

    def forward(self, observations: Tensor) -> Tensor:
        features = self.features(observations)
        advantages = self.advantage(features)
        return self.value(features) + advantages - advantages.mean(-1, keepdim=True)

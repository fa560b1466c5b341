"""LeNet, the small convolutional network that papers on pruning and on compression are measured by.

LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition",
section II.B, as its successors have it: every feature map is connected to every map of the next
layer, with max-pooling and ReLU.
"""

from itertools import pairwise

from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from recipes.parts.networks import Head, Width, check_layers

KERNEL = 5


class LeNet(nn.Module):
    """5x5 convolutions, each followed by 2x2 max-pooling, then a hidden layer with ReLU.

    By default the LeNet-5 of Han et al. 2015, https://arxiv.org/abs/1506.02626: 431,080 weights
    for images of 28x28 pixels: the example of Caffe, which has no ReLU behind the convolutions.

    Args:
        shape: of an image, [channels, height, width]
        outputs: number of classes
        channels: of each convolution
        hidden: units of the hidden layer

    Raises:
        ValueError: without channels, or if `shape` is no image's, or too small for them
    """

    def __init__(
        self,
        shape: list[Width],
        outputs: Width = 10,
        channels: list[PositiveInt] = [20, 50],  # noqa: B006 - never changed
        hidden: PositiveInt = 500,
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        if len(shape) != 3:
            raise ValueError(f"shape {shape} is of rows, not of images: such as MLP")
        layers: list[nn.Module] = []
        height, width = shape[1:]
        for fan_in, fan_out in pairwise([shape[0], *channels]):
            layers += [nn.Conv2d(fan_in, fan_out, KERNEL), nn.MaxPool2d(2)]
            height, width = ((size - KERNEL + 1) // 2 for size in (height, width))
        if min(height, width) < 1:
            raise ValueError(f"shape {shape} is too small for {len(channels)} layers of channels")
        layers += [nn.Flatten(), nn.Linear(channels[-1] * height * width, hidden), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = Head(hidden, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))

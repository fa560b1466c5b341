"""Residual networks for pictures: He, Zhang, Ren & Sun 2016, https://arxiv.org/abs/1512.03385.

Their parts are named as torchvision names them, so that published weights load by
`--model.weights`. As in networks.py, the last layer is kept in float32.
"""

from itertools import pairwise
from typing import Literal

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.parts.networks import Head, Width

Shortcut = Literal["pad", "projection"]


class Subsample(nn.Module):
    """The identity between unequal shapes: every stride-th pixel, and channels of zeros.

    He et al. 2016, section 4.2 (option A): no parameters.

    Args:
        more: channels to add, half of them before and half behind
        stride: from one pixel that is kept to the next
    """

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, inputs: Tensor) -> Tensor:
        before = self.more // 2
        kept = inputs[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, before, self.more - before))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, to whose output the input is added: relu(F(x) + shortcut(x)).

    He et al. 2016, equation 2 and figure 2.

    Args:
        inputs: channels of the input
        outputs: channels of the output
        stride: of the first convolution
        shortcut: where shapes differ: pad, or projection by a 1x1 convolution (option B)
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            pad = Subsample(outputs - inputs, stride)
            is_pad = shortcut == "pad"
            self.downsample = pad if is_pad else nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(inputs)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.downsample(inputs))


class ResNet(nn.Module):
    """Stages of basic blocks, each but the first on a picture of half the size; then averaged.

    Args:
        conv1: the first convolution
        channels: of the first convolution, then of each stage, of which there are 3 or 4
        blocks: in each stage
        outputs: number of classes
        shortcut: where shapes differ
        pooled: whether the picture is halved once more before the first stage
    """

    __jit_unused_properties__ = ["features", "head"]  # noqa: RUF012 - torch's name for it

    def __init__(
        self,
        conv1: nn.Conv2d,
        channels: list[int],
        blocks: int,
        outputs: int,
        shortcut: Shortcut,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv1, nn.BatchNorm2d(channels[0])
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if pooled else nn.Identity()
        self.layer4: nn.Module = nn.Identity()  # of three stages
        for number, (inputs, size) in enumerate(pairwise(channels), 1):
            stage = [BasicBlock(inputs, size, 2 if number > 1 else 1, shortcut)]
            stage += [BasicBlock(size, size, 1, shortcut) for _ in range(blocks - 1)]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
        self.fc = Head(channels[-1], outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015, https://arxiv.org/abs/1502.01852
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def inputs_of(shape: torch.Size) -> int:
        """The channels of pictures (channels, height, width)."""
        return shape[0]

    @property
    def features(self) -> nn.Sequential:
        """What comes before the last layer: (batch, channels of the last stage)."""
        stem = self.conv1, self.bn1, nn.ReLU(), self.maxpool
        stages = self.layer1, self.layer2, self.layer3, self.layer4
        return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    @property
    def head(self) -> Head:
        """The last layer."""
        return self.fc

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.maxpool(F.relu(self.bn1(self.conv1(inputs))))
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        return self.fc(hidden.mean((2, 3)))


class CIFARResNet(ResNet):
    """The residual network for pictures of 32 pixels: He et al. 2016, section 4.2.

    Depth 20 has 0.27 million weights and depth 56 0.85, for 10 classes. The 8x4 and 32x4 of the
    distillation literature (Tian et al. 2020, https://arxiv.org/abs/1910.10699) are depth 8 and 32
    with width 4, stem 32 and shortcut projection; its resnet20 and resnet56 have that shortcut too.

    Args:
        depth: layers with weights, 6n + 2: three stages of n blocks
        width: times the paper's 16, 32 and 64 channels
        outputs: number of classes
        inputs: channels of the picture, 3 for colour
        stem: channels of the first convolution
        shortcut: where shapes differ: pad (option A, the paper's), or projection (option B)

    Raises:
        ValueError: if the depth is not 6n + 2
    """

    def __init__(
        self,
        depth: PositiveInt = 20,
        width: PositiveInt = 1,
        outputs: Width = 10,
        inputs: Width = 3,
        stem: PositiveInt = 16,
        shortcut: Shortcut = "pad",
    ) -> None:
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"CIFARResNet's depth={depth}: 6n + 2, as 8, 14, 20, 32, 56, 110")
        conv1 = nn.Conv2d(inputs, stem, 3, padding=1, bias=False)
        channels = [stem, *(size * width for size in (16, 32, 64))]
        super().__init__(conv1, channels, blocks, outputs, shortcut)


class ResNet18(ResNet):
    """The residual network of 18 layers: He et al. 2016, table 1; 11.69 million at 1000 classes.

    Args:
        outputs: number of classes
        inputs: channels of the picture, 3 for colour
        width: channels of the first stage, which double from stage to stage
        stem: 7x7: the paper's, for pictures of about 224 pixels: one of 7x7 with stride 2, and
            pooling; 3x3: one convolution with stride 1 and no pooling, for 32 to 64 pixels
    """

    def __init__(
        self,
        outputs: Width = 10,
        inputs: Width = 3,
        width: PositiveInt = 64,
        stem: Literal["7x7", "3x3"] = "7x7",
    ) -> None:
        is_large = stem == "7x7"
        size, stride = (7, 2) if is_large else (3, 1)
        conv1 = nn.Conv2d(inputs, width, size, stride, padding=size // 2, bias=False)
        channels = [width, *(width * 2**stage for stage in range(4))]
        super().__init__(conv1, channels, 2, outputs, "projection", pooled=is_large)

"""Fully connected networks whose hidden layers get their error through fixed random matrices."""

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from datamodules.loading.splits import Share
from recipes.parts.networks import Head, Width, check_layers

Method = Literal["direct", "alignment", "backpropagation"]
Activation = Literal["tanh", "sigmoid", "relu"]
ACTIVATIONS = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}


class SendError(torch.autograd.Function):
    """The identity of one layer's outputs, whose backward pass sends their error elsewhere.

    error -> outputs, and error @ matrix -> receiver
    """

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, receiver: Tensor, matrix: Tensor) -> Tensor:  # noqa: ANN401 - torch's
        """The outputs as they are.

        Args:
            ctx: torch's
            outputs: whose gradient is the error, (batch, units)
            receiver: a hidden layer's activations, (batch, hidden units)
            matrix: B, (units, hidden units)
        """
        ctx.save_for_backward(matrix)
        ctx.type = receiver.dtype
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401 - torch's
        (matrix,) = ctx.saved_tensors
        return error, (error.to(matrix.dtype) @ matrix).to(ctx.type), None  # types: of bf16-mixed


def fixed_matrix(units: int, receivers: int) -> Tensor:
    """B, (units, receivers): uniform from -1 / sqrt(receivers) to 1 / sqrt(receivers)."""
    bound = 1 / math.sqrt(receivers)
    return torch.empty(units, receivers).uniform_(-bound, bound)


class FeedbackMLP(nn.Module):
    """Fully connected layers that learn by back-propagation, or from randomly projected errors.

    While training, `loss.backward()` gives each hidden layer the update of the method, not the
    gradient; activations are the same. In evaluation mode gradients are those of the function.
    A seed gives the same weights whatever the method is.

    Args:
        inputs: number of values in one input, 784 for a 28x28 image
        widths: units of each hidden layer, from the input to the output
        outputs: number of outputs, in classification one per class
        feedback: direct: the output's error goes to each hidden layer through a matrix of its own
            (Nøkland 2016); alignment: a layer's error goes to the layer below through a fixed
            matrix in place of the weights (Lillicrap et al. 2016); backpropagation: the gradient
        activation: of hidden units: tanh, sigmoid or relu
        start: uniform: weights of torch's nn.Linear; zeros: all weights and biases are 0, which
            back-propagation cannot leave
        dropout: share of hidden units that are dropped while training, from 0 to below 1
        input_dropout: share of input values that are dropped while training, from 0 to below 1

    Raises:
        ValueError: without a hidden layer; or for a start from zeros with relu, where no unit is
            ever active
    """

    def __init__(
        self,
        inputs: Width,
        widths: list[PositiveInt],
        outputs: Width = 10,
        feedback: Method = "direct",
        activation: Activation = "tanh",
        start: Literal["uniform", "zeros"] = "uniform",
        dropout: Share = 0.0,
        input_dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        check_layers("widths", widths)
        if start == "zeros" and activation == "relu":
            raise ValueError("start=zeros with activation=relu: no unit would ever be active")
        self.feedback, self.activation = feedback, activation
        self.input_dropout, self.dropout = nn.Dropout(input_dropout), nn.Dropout(dropout)
        sizes = pairwise([inputs, *widths])
        self.hidden = nn.ModuleList(nn.Linear(fan_in, fan_out) for fan_in, fan_out in sizes)
        self.head = Head(widths[-1], outputs)
        if start == "zeros":
            for parameter in self.parameters():
                nn.init.zeros_(parameter)
        # Senders of the errors; all weights are drawn by now, as with the other methods.
        senders = {"direct": [outputs] * len(widths), "alignment": [*widths[1:], outputs]}
        for layer, units in enumerate(senders.get(feedback, []), 1):
            self.register_buffer(f"matrix_{layer}", fixed_matrix(units, widths[layer - 1]))

    @property
    def matrices(self) -> list[Tensor]:
        """The fixed matrices B, which no optimizer changes.

        direct: from the error to hidden layer 1, 2, ..., of shape (outputs, units); alignment: from
        layer 2, 3, ..., the last one, to the layer below, of the shape of the weights. Uniform up
        to 1 / sqrt(units of the layer that receives), as in Nøkland's code.
        """
        return [matrix for _, matrix in self.named_buffers()]

    def forward(self, inputs: Tensor, feedback: Method | None = None) -> Tensor:
        """Logits, (batch, outputs).

        Args:
            inputs: (batch, ...), which is flattened
            feedback: of this pass, "backpropagation" or the network's own; by default its own while
                training, and else back-propagation
        """
        feedback = feedback or (self.feedback if self.training else "backpropagation")
        activation, hidden = ACTIVATIONS[self.activation], []
        signal = self.input_dropout(inputs.flatten(1))
        for layer in self.hidden:
            signal = self.dropout(activation(self.apply_layer(layer, signal, hidden, feedback)))
            hidden.append(signal)
        logits = self.apply_layer(self.head, signal, hidden, feedback)
        if feedback == "direct":
            for receiver, matrix in zip(hidden, self.matrices, strict=True):
                logits = SendError.apply(logits, receiver, matrix)
        return logits

    def apply_layer(
        self, layer: nn.Linear, signal: Tensor, hidden: list[Tensor], feedback: Method
    ) -> Tensor:
        """A layer's outputs (batch, units); but by back-propagation its weights send no error.

        Args:
            layer: that follows
            signal: its inputs
            hidden: activations of all hidden layers below it
            feedback: of this pass
        """
        if feedback == "backpropagation" or not hidden:
            return layer(signal)
        outputs = layer(signal.detach())
        if feedback == "alignment":
            return SendError.apply(outputs, signal, self.matrices[len(hidden) - 1])
        return outputs

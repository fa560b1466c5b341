"""What torch computes on this machine's processor, and what it has no kernel for."""

import torch
from torch import Tensor, nn

# oneDNN computes bfloat16 by AVX-512 at least: without, products take many times as long as in
# float32 (eight times, of the MNIST student on an AMD EPYC of the third generation).
LACKS_BF16 = torch.backends.mkldnn.is_available() and not (
    torch.ops.mkldnn._is_mkldnn_bf16_supported()
)


def run_recurrent(
    layer: nn.LSTM | nn.GRU, inputs: Tensor, state: Tensor | tuple[Tensor, ...] | None = None
) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
    """What a recurrent layer returns, also of an LSTM under autocast on an old processor.

    There torch has no kernel for it ("could not create a primitive descriptor"): it is computed in
    float32, and what it returns is rounded to bfloat16, as elsewhere.

    Args:
        layer: batch first
        inputs: (batch, length, width)
        state: of the layer, in the inputs' precision

    Returns:
        outputs (batch, length, units); the state behind them
    """
    mixed = inputs.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    if not (LACKS_BF16 and mixed and isinstance(layer, nn.LSTM)):
        return layer(inputs, state)
    given = state and tuple(part.float() for part in state)
    with torch.autocast("cpu", enabled=False):
        outputs, state = layer(inputs.float(), given)
    return outputs.bfloat16(), tuple(part.bfloat16() for part in state)

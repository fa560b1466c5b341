"""A text as batches: streams that go on from batch to batch, or blocks in a random order."""

import torch
from torch import Tensor

from datamodules.loading.loader import Table, keyed_generator
from datamodules.loading.missing import MISSING


class Streams(Table):
    """A text cut into equal parts, each of which is read on from batch to batch.

    Row `chunk * streams + stream` is the chunk of a stream: a loader that keeps the rows' order and
    takes all streams at a time sees chunk after chunk, in each row what follows on the batch
    before. A process that takes every n-th row has every n-th stream for itself.

        stream 0:  | chunk 0 | chunk 1 | ...
        stream 1:  | chunk 0 | chunk 1 | ...

    Every token but the text's first is a target exactly once.

    Args:
        ids: the text's tokens, (tokens,), at least 2
        streams: parts, rows of a batch on all processes together
        length: of a chunk, tokens; the last one may be shorter
    """

    def __init__(self, ids: Tensor, streams: int, length: int) -> None:
        self.ids, self.streams, self.length = ids, streams, length
        self.part = -(-(len(ids) - 1) // streams)  # targets in a stream

    def __len__(self) -> int:
        return self.streams * -(-self.part // self.length)

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, the tokens that follow them, (rows, tokens) int64 each.

        Beyond the text's end, in the last streams, targets are `MISSING`.

        Args:
            rows: of one chunk
            epoch: has no influence
        """
        first = int(rows[0]) // self.streams * self.length
        chunk = torch.arange(first, min(first + self.length, self.part), device=rows.device)
        places = (rows % self.streams * self.part).unsqueeze(1) + chunk
        last = len(self.ids) - 1
        inputs = self.ids[places.clamp(max=last)].long()
        targets = self.ids[(places + 1).clamp(max=last)].long()
        return inputs, targets.masked_fill_(places >= last, MISSING)


class Blocks(Table):
    """A text cut into blocks, which may come in any order; where the cuts are, the epoch decides.

    Args:
        ids: the text's tokens, (tokens,)
        length: of a block, tokens
        seed: of the cuts, which are a pure function of (seed, epoch)

    Raises:
        ValueError: if the text has no two blocks
    """

    def __init__(self, ids: Tensor, length: int, seed: int) -> None:
        self.ids, self.length, self.seed = ids, length, seed
        if len(ids) < 2 * length:
            raise ValueError(f"--data.length={length} does not fit a text of {len(ids)} tokens")

    def __len__(self) -> int:
        return len(self.ids) // self.length - 1  # wherever the first one begins

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, the tokens that follow them, (rows, length) int64 each."""
        generator = keyed_generator(self.seed, epoch, self.length)
        start = int(torch.randint(self.length, (), generator=generator))
        places = (start + rows * self.length).unsqueeze(1)
        places = places + torch.arange(self.length + 1, device=rows.device)
        block = self.ids[places].long()
        return block[:, :-1], block[:, 1:]

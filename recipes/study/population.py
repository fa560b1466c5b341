"""The members that train now, as one module."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate, groupby

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from callbacks.schedules import Schedule
from recipes.parts.known import filled, full
from recipes.regress.losses import Loss
from recipes.study.batching import grouped
from recipes.study.members import Member, Networks, Numbered
from recipes.study.part import Part
from recipes.study.progress import Progress


class Population(nn.Module):
    """The members' weights, optimizers and progress; their outputs in one pass.

    Members are in groups that one stock optimizer each updates. Wherever a tensor has a dimension
    of members, they are in the order of the groups.

    Args:
        networks: label to network
        makers: label to optimizer
        loss: of one example
        streams: the split and seed of each stream of the data
        members: with their numbers in the round
        accumulate: label of an optimizer to the batches of each of its steps, if not 1
    """

    def __init__(
        self,
        networks: Mapping[str, Networks],
        makers: Mapping[str, OptimizerCallable],
        loss: Loss,
        streams: Sequence[tuple[int, int]],
        members: Iterable[Numbered],
        accumulate: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        # Not registered: shared with other rounds, and without parameters of their own.
        self.__dict__["networks"] = networks
        self.makers, self.loss, self.accumulate = makers, loss, accumulate or {}
        self.groups = grouped(makers, members)
        self.weights = nn.ParameterList(
            networks[group[0][1].trial.network].initial([member.seed for _, member in group])
            for group in self.groups
        )
        numbers = {stream: number for number, stream in enumerate(streams)}
        self.stream = torch.tensor([numbers[m.split, m.seed] for m in self.members])
        self.progress = Progress(len(self.members))

    @property
    def members(self) -> list[Member]:
        """All members, in the order of the groups."""
        return [member for group in self.groups for _, member in group]

    @property
    def ids(self) -> list[int]:
        """The members' numbers in the round."""
        return [number for group in self.groups for number, _ in group]

    def ranges(self) -> list[slice]:
        """Where each group's members lie in the order of all."""
        ends = list(accumulate(len(group) for group in self.groups))
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def weights_of(self, ids: Sequence[int]) -> list[Tensor]:
        """Copies of some members' weights on the CPU, by their numbers in the round, (size,)."""
        rows = {
            number: (weights, row)
            for group, weights in zip(self.groups, self.weights, strict=True)
            for row, (number, _) in enumerate(group)
        }
        return [rows[i][0].detach()[rows[i][1]].cpu().clone() for i in ids]

    def set_weights(self, values: Mapping[int, Tensor]) -> None:
        """Sets all members' weights, by their numbers in the round, (size,) each."""
        for group, weights in zip(self.groups, self.weights, strict=True):
            weights.data = torch.stack([values[number] for number, _ in group])

    def assign(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Each member's inputs and targets, (members, batch, ...).

        Args:
            batch: those of each stream, (streams, batch, ...)
        """
        inputs, targets = batch
        self.stream = self.stream.to(inputs.device)
        return inputs.index_select(0, self.stream), targets.index_select(0, self.stream)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (members, batch, n) from inputs (members, batch, ...)."""
        outputs, start = [], 0
        pairs = zip(self.groups, self.weights, strict=True)
        for label, run in groupby(pairs, key=lambda pair: pair[0][0][1].trial.network):
            parts = [weights for _, weights in run]
            weights = torch.cat(parts) if len(parts) > 1 else parts[0]
            stop = start + len(weights)
            outputs.append(self.network(label)(weights, inputs[start:stop]))
            start = stop
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    def network(self, label: str) -> Networks:
        """The batched network of a label, in the mode that this module is in."""
        network = self.networks[label]
        return network if network.training == self.training else network.train(self.training)

    # Training.

    def losses(
        self, inputs: Tensor, targets: Tensor, mean: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Mean loss of each member, (members,), as the first evaluation of a step.

        Args:
            inputs: (members, batch, ...)
            targets: (members, batch)
            mean: of the losses and the targets of each example, (members, batch) each
        """
        self.mean = mean
        losses = mean(self.loss(full(self(inputs)), filled(targets)), targets)
        self.latest = losses.detach()
        # Here, since checkpoints are written before the module's own on_train_batch_end.
        self.progress.add_batch(self.latest)
        self.asked = (inputs, targets)
        self.fresh = {part for part in self.parts if part.needs_closure}
        return losses

    def ask_again(self, part: Part) -> Tensor:
        """The loss of one group's members at their present weights, with gradients.

        The first call in a step computes nothing: the training step has left both.
        """
        number = self.parts.index(part)
        where = self.ranges()[number]
        if part in self.fresh:
            self.fresh.remove(part)
            return self.latest[where].sum()
        inputs, targets = (tensor[where] for tensor in self.asked)
        part.weights.grad = None
        label = self.groups[number][0][1].trial.network
        outputs = self.network(label)(part.weights, inputs)
        loss = self.mean(self.loss(full(outputs), filled(targets)), targets).sum()
        loss.backward()
        part.mask()
        part.share_gradient()
        self.progress.evaluations[where] += 1
        return loss.detach()

    def make_optimizers(self) -> list[Part]:
        """Each group with a new stock optimizer."""
        self.parts = []
        for weights, group in zip(self.weights, self.groups, strict=True):
            trials = [member.trial for _, member in group]
            shapes = list(self.networks[trials[0].network].shapes.values())
            label = trials[0].optimizer
            batches = self.accumulate.get(label, 1)
            part = Part(trials, weights, shapes, self.makers[label], batches)
            part.closure = partial(self.ask_again, part)
            self.parts.append(part)
        return self.parts

    def begin_batch(self, schedules: Mapping[str, Schedule]) -> None:
        """Sets the members' rates, and starts the clock.

        Args:
            schedules: label to multiplier of the batch's number
        """
        self.began = time.perf_counter()
        for part in self.parts:
            part.schedule(schedules, self.progress.batches)

    def end_batch(self) -> None:
        """Stops the clock: a member's seconds are its share of its optimizer's and of the rest."""
        own, seconds = sum(part.seconds for part in self.parts), self.progress.seconds
        seconds += (time.perf_counter() - self.began - own) / len(seconds)
        for part, where in zip(self.parts, self.ranges(), strict=True):
            seconds[where] += part.seconds / len(part)
            part.seconds = 0.0

    def mask(self) -> None:
        """Takes members without a finite gradient out of this step and all further ones."""
        for part in self.parts:
            part.mask()

    def gather(self) -> None:
        """Gives members whose steps take several batches the mean gradient of these."""
        for part in self.parts:
            part.gather()

    def clip(self, limit: float, algorithm: str | None) -> None:
        """Clips each member's gradient; arguments as in `Part.clip`."""
        for part in self.parts:
            part.clip(limit, algorithm)

    @property
    def alive(self) -> Tensor:
        """Whether each member's losses, gradients and weights have been finite, (members,)."""
        return torch.cat([part.alive for part in self.parts]).cpu()

    def keep(self, ids: Sequence[int]) -> None:
        """Drops all members but those of these numbers, and groups of which none is left."""
        wanted = set(ids)
        positions = [i for i, number in enumerate(self.ids) if number in wanted]
        for part, group in zip(self.parts, self.groups, strict=True):
            local = [i for i, (number, _) in enumerate(group) if number in wanted]
            part.keep(torch.tensor(local, dtype=torch.long, device=part.weights.device))
            group[:] = [group[i] for i in local]
        self.parts, self.groups = [p for p in self.parts if len(p)], [g for g in self.groups if g]
        self.weights = nn.ParameterList(part.weights for part in self.parts)
        self.stream = self.stream[positions]
        self.progress.keep(positions)

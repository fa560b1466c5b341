"""All members of a round as one module, in the groups that one stock optimizer each can step."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate, groupby
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from callbacks.schedules import Schedule
from recipes.regress.losses import Loss, full
from recipes.study.members import Member, Networks
from recipes.study.together import Part, batching

Numbered = tuple[int, Member]


def grouped(makers: Mapping[str, OptimizerCallable], members: Sequence[Numbered]) -> list[list]:
    """Members that can be one batch: of one network and one optimizer, and of one rate or alone."""
    modes = {label: batching(make) for label, make in makers.items()}
    groups: dict[tuple, list[Numbered]] = {}
    for number, member in members:
        trial = member.trial
        key: tuple = (trial.network, trial.optimizer, trial.weight_decay is None)
        if modes[trial.optimizer] != "together":
            key += (trial.learning_rate, trial.weight_decay, trial.schedule)
        if modes[trial.optimizer] == "one by one":
            key += (number,)
        groups.setdefault(key, []).append((number, member))
    return list(groups.values())


class Population(nn.Module):
    """The members' weights, optimizers and progress; their outputs in one pass.

    Args:
        networks: label to network
        makers: label to optimizer
        members: with their numbers in the round
        loss: of one example
    """

    def __init__(
        self,
        networks: Mapping[str, Networks],
        makers: Mapping[str, OptimizerCallable],
        members: Sequence[Numbered],
        loss: Loss,
    ) -> None:
        super().__init__()
        # Not registered: shared with other rounds, and without parameters of their own.
        self.__dict__["networks"] = networks
        self.makers, self.loss = makers, loss
        self.groups = grouped(makers, members)
        self.weights = nn.ParameterList(
            networks[group[0][1].trial.network].initial([member.seed for _, member in group])
            for group in self.groups
        )
        zeros = torch.zeros(len(members), dtype=torch.float64)
        self.evaluations, self.seconds = zeros.clone(), zeros.clone()
        self.first = zeros.clone()  # loss of the first batch
        self.loss_sum = zeros.clone()  # over the batches since the latest row of the record
        self.batches = self.batches_of_row = 0

    @property
    def members(self) -> list[Member]:
        """In the order of every tensor's first dimension."""
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
        """Some members' weights, by their numbers in the round, (size,) each."""
        rows = {
            number: (weights, row)
            for group, weights in zip(self.groups, self.weights, strict=True)
            for row, (number, _) in enumerate(group)
        }
        return [rows[i][0].detach()[rows[i][1]].cpu().clone() for i in ids]

    def set_weights(self, values: Mapping[int, Tensor]) -> None:
        """Sets all members' weights, by their numbers."""
        for group, weights in zip(self.groups, self.weights, strict=True):
            weights.data = torch.stack([values[number] for number, _ in group])

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

    def summary(self) -> str:
        """How the members are batched, one line an optimizer."""
        counts: dict[str, list[int]] = {}
        for group in self.groups:
            counts.setdefault(group[0][1].trial.optimizer, []).append(len(group))
        lines = [f"{len(self.ids)} members:"]
        for optimizer, sizes in counts.items():
            how = batching(self.makers[optimizer])
            lines.append(
                f"  {optimizer}: {sum(sizes)}, {how}"
                + ("" if how == "together" else f", in {len(sizes)} groups")
            )
        return "\n".join(lines)

    # Training.

    def losses(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of each member, (members,); those with a line search can ask again.

        Args:
            inputs: (members, batch, ...)
            targets: (members, batch)
        """
        losses = self.loss(full(self(inputs)), full(targets)).mean(1)
        self.latest = losses.detach()
        if self.batches == 0:
            self.first = self.latest.cpu().double()
        # Here, since checkpoints are written before the module's own on_train_batch_end.
        self.loss_sum = self.loss_sum.to(self.latest.device) + self.latest
        self.evaluations += 1
        self.batches += 1
        self.batches_of_row += 1
        self.asked = (inputs, targets)
        self.fresh = {part for part in self.parts if part.needs_closure}
        return losses

    def ask_again(self, part: Part) -> Tensor:
        """The loss of one group's members at their present weights, with gradients.

        At its first call in a step, both are there from the training step.
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
        loss = self.loss(full(outputs), full(targets)).mean(1).sum()
        loss.backward()
        part.mask()
        part.share_gradient()
        self.evaluations[where] += 1
        return loss.detach()

    def make_optimizers(self) -> list[Part]:
        """A stock optimizer for each group, as it starts."""
        self.parts = []
        for weights, group in zip(self.weights, self.groups, strict=True):
            trials = [member.trial for _, member in group]
            shapes = list(self.networks[trials[0].network].shapes.values())
            part = Part(trials, weights, shapes, self.makers[trials[0].optimizer])
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
            part.schedule(schedules, self.batches)

    def end_batch(self) -> None:
        """Stops the clock: a member's seconds are its share of its optimizer's and of the rest."""
        own = sum(part.seconds for part in self.parts)
        self.seconds += (time.perf_counter() - self.began - own) / len(self.seconds)
        for part, where in zip(self.parts, self.ranges(), strict=True):
            self.seconds[where] += part.seconds / len(part)
            part.seconds = 0.0

    def end_row(self) -> dict[str, Tensor]:
        """What the record keeps of the members' training since the row before, (members,) each."""
        mean = self.loss_sum.cpu() / max(1, self.batches_of_row)
        self.loss_sum, self.batches_of_row = torch.zeros_like(mean), 0
        return {
            "train/loss": mean,
            "evaluations": self.evaluations.clone(),
            "seconds": self.seconds.clone(),
        }

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
        for name in ("evaluations", "seconds", "first", "loss_sum"):
            setattr(self, name, getattr(self, name)[positions])

    def progress(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint, beside weights and optimizers."""
        names = ("evaluations", "seconds", "first", "loss_sum", "batches", "batches_of_row")
        return {"ids": self.ids, **{name: getattr(self, name) for name in names}}

    def restore(self, progress: dict[str, Any]) -> None:
        """Sets what `progress` has saved."""
        for name, value in progress.items():
            if name != "ids":
                setattr(self, name, value)

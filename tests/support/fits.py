"""Runs commands of recipes one after the other in this process, and tells how weights are split.

python -m fits '[["classify", "fit", "--config=ddp"]]'
"""

import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback
from torch.distributed.tensor import DTensor

from recipes.parts.networks import Frozen
from recipes.running.cli import main


class Placements(Callback):
    """Writes, for each weight, how it lies on the processes, and torch's rank of the batch."""

    def on_train_end(self, trainer, pl_module):
        found = {name: placed(weight) for name, weight in pl_module.named_parameters()}
        folder = Path(trainer.default_root_dir)
        (folder / f"placements-{trainer.global_rank}.json").write_text(json.dumps(found))
        same = {name: weight.detach() for name, weight in pl_module.state_dict().items()}
        same = {name: w for name, w in same.items() if not isinstance(w, DTensor)}
        torch.save(same, folder / f"weights-{trainer.global_rank}.pt")
        if isinstance(teacher := getattr(pl_module, "teacher", None), Frozen):
            (how,) = {placed(weight) for weight in teacher.network.parameters()}
            (folder / f"teacher-{trainer.global_rank}.json").write_text(json.dumps(how))


def placed(weight):
    return str(weight.placements) if isinstance(weight, DTensor) else type(weight).__name__


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, *args in json.loads(sys.argv[1]):
        module = __import__(f"recipes.{name}", fromlist=["*"])
        main(getattr(module, module.__all__[0]), args)

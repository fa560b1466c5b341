"""What counts as an update."""

from types import SimpleNamespace

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict as saved
from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict as load

from callbacks.optimizers import after_updates


@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)])
@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_saving_and_loading_are_no_updates(make, lr):
    """torch steps an optimizer without a state then, as its own hook sees."""
    updates, steps = [], []

    def start():
        network = torch.nn.Linear(3, 2)
        optimizer = make(network.parameters(), lr)
        after_updates(SimpleNamespace(optimizers=[optimizer]), updates.append)
        optimizer.register_step_post_hook(lambda *args: steps.append(args))
        return network, optimizer

    network, optimizer = start()
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert len(updates) == len(steps) == 1
    state = saved(network, optimizer)
    load(*start(), state)
    assert len(updates) == 1 < len(steps)

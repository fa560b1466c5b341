"""What a test leaves behind reaches no other one, in whatever order they come.

Each first test leaves something; the second, in the same process, looks for it.
"""

import wandb


def test_a_logger_of_its_own_leaves_a_run_open():
    wandb.init(mode="disabled")
    assert wandb.run is not None


def test_no_run_is_open_when_a_test_begins():
    """Lightning warns of one, which is an error here: the test that came next failed."""
    assert wandb.run is None

"""Attacks: what others wrote, such as a file or a name, shall fetch, read, remove or run nothing.

Each row is one of them. It must end in a line, and the trap beside it must not have sprung.
"""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import set_parsing_settings

from recipes.classify import Classify
from recipes.running import cli

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=1")
# Settings that an address could be given for, on the command line or in a file.
SETTINGS = ("model", "model.optimizer", "model.network", "data", "trainer", "trainer.callbacks")
SETTINGS += ("trainer.logger", "trainer.plugins")


@dataclass
class Trap:
    """What an attack would set off.

    Attributes:
        url: of a server that answers with a config
        fetched: what it was asked for
    """

    url: str
    fetched: list[str] = field(default_factory=list)


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A server on this machine, which nobody asks for anything."""
    found = Trap("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found.fetched.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"class_path: torch.optim.SGD\n")

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        server.shutdown()


def refused(*args, module=Classify):
    """The line that a command ends in."""
    with pytest.raises(SystemExit) as stop:
        cli.main(module, [*args, *SHORT])
    line = str(stop.value.code)
    assert line.startswith("error: ") and "\n" not in line
    return line


def nested(key, value):
    """A setting as a file has it."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


@pytest.mark.parametrize("where", ["flag", "file"])
@pytest.mark.parametrize("key", SETTINGS)
def test_no_setting_is_fetched(key, where, trap):
    address = f"{trap.url}/settings"
    Path("own.yaml").write_text(yaml.safe_dump({"data": "Digits"} | nested(key, address)))
    given = f"--{key}={address}" if where == "flag" else "--config=own.yaml"
    line = refused("fit", given)
    assert f"--{key}={address}" in line
    assert not trap.fetched


def test_stock_lightning_fetches_settings(trap, monkeypatch):
    """The negative control of the test above."""
    stock = {"config_read_mode_fsspec_enabled": True}  # as importing Lightning's command line does
    monkeypatch.setattr(cli, "fetch_nothing", lambda: set_parsing_settings(**stock))
    with pytest.raises(SystemExit):
        cli.main(Classify, ["fit", f"--model.optimizer={trap.url}/settings", "--print_config"])
    assert trap.fetched


def saved(path, model, data=None):
    """A checkpoint of plain values that names what it likes."""
    data = data or {"_class_path": "datamodules.digits.Digits", "batch_size": 32}
    content = {"pytorch-lightning_version": "2.6.6", "state_dict": {}, "hyper_parameters": model}
    torch.save(content | {"datamodule_hyper_parameters": data}, path)
    return f"--ckpt_path={path}"


@pytest.mark.parametrize("key", ["network", "optimizer"])
def test_nothing_that_a_checkpoint_names_is_fetched(key, trap):
    address = f"{trap.url}/settings"
    assert address in refused("fit", saved("lone.ckpt", {key: address}))
    assert not trap.fetched

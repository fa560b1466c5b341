"""The table of generative models: what is kept, and what is not measured is not shown."""

import pytest

import generative
from recipes.running.commands import resolved

ONE = {"seconds": 80.4, "sampling": 0.25}
POINTS = ONE | {"test/modes": 8.0, "test/high_quality": 0.97, "test/reverse_kl": 0.001}
IMAGES = ONE | {
    **{f"test/{key}_pixels": 0.5 for key in generative.OF_IMAGES},
    **{f"test/{key}_pixels_floor": 0.25 for key in generative.OF_IMAGES},
}


def test_what_is_not_measured_is_not_shown(monkeypatch):
    two = [POINTS | {"seed": 0}, POINTS | {"seed": 1, "test/modes": 6.0}]
    found = {"ring flow": two, "grid GAN": [POINTS | {"seed": 0}], "digits DDPM": [IMAGES]}
    monkeypatch.setattr(generative.KEPT, "stored", lambda: found)
    header, *rows = generative.compared("points")
    assert [row[:2] for row in rows] == [["ring", "flow"], ["grid", "GAN"]]
    assert rows[0][2] == "7.0 ± 1.4" and rows[1][2] == "8.0", "of one run there is no deviation"
    assert rows[0][-1] == "2" and all(len(row) == len(header) for row in rows)
    header, *rows = generative.compared("images")
    assert [row[:2] for row in rows] == [["digits", "DDPM"], ["digits", "training images"]]
    assert rows[0][2:4] == ["0.5000", "0.500"] and rows[1][2:4] == ["0.2500", "0.250"]
    assert all(len(row) == len(header) for row in rows)
    monkeypatch.setattr(generative.KEPT, "stored", dict)
    assert len(generative.compared("points")) == len(generative.compared("images")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("data", generative.RUNS)
def test_runs_that_are_compared_see_no_labels_and_take_as_many_passes(data):
    passes = {}
    for method, recipe in generative.RECIPES.items():
        settings = resolved(recipe, generative.given(data, method))
        assert settings["trainer.limit_val_batches"] == 0
        of_model = {key: value for key, value in settings.items() if key.startswith("model.")}
        assert not any(value for key, value in of_model.items() if key.endswith("classes"))
        callbacks = [name for key, name in settings.items() if key.endswith("class_path")]
        assert any("LRDecay" in str(name) for name in callbacks)
        assert not any(name in str(callbacks) for name in generative.DRAWERS)
        if recipe == "diffusion":
            steps = settings["model.sampler.steps"]
            passes[method] = 2 * steps - 1 if method == "flow" else steps
    assert abs(passes["DDPM"] - passes["flow"]) <= 1

"""The picture of the codes: classes that have names are named."""

import pytest
import torch
from matplotlib.figure import Figure

from recipes.vae.pictures import draw_codes


@pytest.mark.parametrize(
    ("names", "shown"), [(["cat", "dog"], ["cat", "dog"]), ((), None), (["0", "1"], None)]
)
def test_classes_have_their_names(tmp_path, monkeypatch, names, shown):
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (figures.append(f), save(f, *a, **k)))
    codes = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    draw_codes(codes, torch.arange(20) % 2, tmp_path / "latent.png", names)
    legend = figures[0].axes[0].get_legend()
    assert (legend and [text.get_text() for text in legend.get_texts()]) == shown

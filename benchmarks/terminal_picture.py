"""Draws what `wandb leet` shows of several runs in a terminal; needs tmux.

for lr in 0.001 0.004 0.02; do
    python -m recipes.distill fit --name=lr-$lr --model.optimizer.lr=$lr
done
python benchmarks/terminal_picture.py runs/distill/lr-*
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont
from rich.color import ColorType
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS, ROWS = 120, 38
CELL = 9, 18  # of a character, pixels
FONT = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSansMono.ttf")
PICTURE = Path(__file__).parent / "pictures" / "leet.png"
VIEW = {"workspace_metrics_grid": {"rows": 3, "cols": 3}, "workspace_overview_visible": False}
# All runs, and of their metrics those that a regular expression finds.
KEYS = ("C-a", "y", "/", "val/|soft|hard", "Enter")
# Where the dots of a braille character are, bit by bit: column and row.
DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))


def capture(runs: list[Path]) -> str:
    """What the terminal shows of some runs' folders, with its colours, in ANSI codes."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "wandb-leet.json").write_text(json.dumps(VIEW))
        for stored in (path for run in runs for path in run.glob("wandb/*run-*")):
            Path(place, stored.name).symlink_to(stored.resolve())
        leet = f"{Path(sys.executable).parent / 'wandb'} leet {place}"
        server = ["tmux", "-S", f"{place}/socket", "-f", os.devnull]
        size = ["-x", str(COLUMNS), "-y", str(ROWS + 1)]
        settings = ["-e", f"WANDB_CONFIG_DIR={place}", "-e", "COLORTERM=truecolor"]
        subprocess.run([*server, "new-session", "-d", *size, *settings, leet], check=True)
        try:
            for key in KEYS:
                time.sleep(3)
                subprocess.run([*server, "send-keys", key], check=True)
            time.sleep(3)
            command = [*server, "capture-pane", "-e", "-p"]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        finally:
            subprocess.run([*server, "kill-server"], check=True)


def rgb(style: Style | None, name: str) -> tuple[int, int, int]:
    """A style's colour, that of the terminal's theme where it has none."""
    color = getattr(style, name, None)
    default = MONOKAI.background_color if name == "bgcolor" else MONOKAI.foreground_color
    if color is None or color.type is ColorType.DEFAULT:
        return tuple(default)
    return tuple(color.get_truecolor(MONOKAI, foreground=name == "color"))


def cells(text: str) -> Iterator[tuple[int, int, str, Style | None]]:
    """Column, row, character and style of all that was captured."""
    console = Console(width=COLUMNS, color_system="truecolor", legacy_windows=False)
    options = console.options.update(no_wrap=True, overflow="ignore")
    lines = Segment.split_lines(console.render(Text.from_ansi(text), options))
    for row, line in enumerate(islice(lines, ROWS)):  # below them is the status
        characters = [(character, style) for piece, style, _ in line for character in piece]
        for column, (character, style) in enumerate(characters):
            yield column, row, character, style


def draw(text: str) -> Image.Image:
    """A picture of a terminal; the dots of braille are even, as terminals draw them."""
    width, height = CELL
    image = Image.new("RGB", (COLUMNS * width, ROWS * height), rgb(None, "bgcolor"))
    pen, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), 15)
    for column, row, character, style in cells(text):
        x, y, color = column * width, row * height, rgb(style, "color")
        cell = (x, y, x + width - 1, y + height - 1)
        pen.rectangle(cell, rgb(style, "bgcolor"))
        if 0x2800 <= ord(character) <= 0x28FF:
            for bit, (right, down) in enumerate(DOTS):
                if (ord(character) - 0x2800) >> bit & 1:
                    left, top = x + 1 + 4.5 * right, y + 1 + 4.5 * down
                    pen.ellipse((left, top, left + 2.5, top + 2.5), color)
        else:
            pen.text((x, y), character, color, font)
    return image


def main() -> None:
    """Captures and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    draw(capture(parser.parse_args().runs)).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()

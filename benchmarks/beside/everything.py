"""All comparisons, by the names that the command line has for them."""

from collections.abc import Callable
from functools import partial

from beside import commands, distillation, gans, languages, reading, regressions, students
from beside.comparison import Comparison

COMPARISONS: dict[str, Callable[[], Comparison]] = {
    "student": students.comparison,
    "distill": distillation.comparison,
    "distill-colours": distillation.comparison_of_colours,
    **{
        f"gan-{name.replace(' ', '-').lower()}": partial(gans.comparison, name)
        for name in gans.CASES
    },
    "language-lstm": partial(languages.comparison, "LSTM of 128"),
    "language-transformer": partial(languages.comparison, "Transformer of 4 x 128"),
    "regression": regressions.comparison,
    "study": regressions.comparison_of_study,
    "reading": reading.comparison,
    "measures": reading.comparison_of_measures,
    "commands": commands.comparison,
    "first-run": commands.comparison_of_first_run,
}

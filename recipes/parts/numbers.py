"""Numbers that arguments take. jsonargparse's own PositiveFloat and such take infinity too."""

import math

from jsonargparse.typing import restricted_number_type

PositiveFinite = restricted_number_type("PositiveFinite", float, [(">", 0), ("<", math.inf)])
NonNegativeFinite = restricted_number_type("NonNegativeFinite", float, [(">=", 0), ("<", math.inf)])

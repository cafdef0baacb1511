"""Charts: pure functions from readings to Plotly figures (plain dicts).

Colours are names of the theme ("@1", "@1/13", "@idle"); ``static/js/charts.js`` puts them in. A point whose
``customdata`` is an address opens it. A function returns None where there is nothing to draw, and the
card says so in words.
"""

from typing import Any

Figure = dict[str, Any]

"""What came out: read run directories of many kinds, compare variants, with statistics one may
publish.

`load` is the door; polars is imported here and above, never beside the user's code.
"""

from runslot.results.accounts import Accounting, Rule, account
from runslot.results.comparison import Comparison, compare
from runslot.results.problems import Problem
from runslot.results.read.reader import Reader, load
from runslot.results.results import Results
from runslot.results.verdicts import Verdicts, decide

__all__ = [
    "Accounting",
    "Comparison",
    "Problem",
    "Reader",
    "Results",
    "Rule",
    "Verdicts",
    "account",
    "compare",
    "decide",
    "load",
]

"""Real data by name.

Exact English–Chinese pairs from the CLDR, and fixed English to see what is forgotten. What only some pages use has a
module of its own: ``people_daily``, ``reviews``, ``messages``.
"""

from llm_tutorial.data.cldr import Pair, cldr_pairs
from llm_tutorial.data.text import Question, english_questions, held_out_english

__all__ = ["Pair", "Question", "cldr_pairs", "english_questions", "held_out_english"]

"""Real data by name: exact English–Chinese pairs from the CLDR, and fixed English to see what is forgotten."""

from llm_tutorial.data.cldr import Pair, cldr_pairs
from llm_tutorial.data.text import Question, english_questions, held_out_english

__all__ = ["Pair", "Question", "cldr_pairs", "english_questions", "held_out_english"]

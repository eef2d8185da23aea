"""Real data by name.

Exact English–Chinese pairs from the CLDR, fixed English to see what is forgotten, a Chinese newspaper with its people,
places and organisations, Chinese reviews, and messages of software in both languages.
"""

from llm_tutorial.data.cldr import Pair, cldr_pairs
from llm_tutorial.data.messages import Message, messages, neighbours
from llm_tutorial.data.people_daily import Document, Entity, bio_labels, people_daily
from llm_tutorial.data.reviews import JoinedReviews, Review, Span, joined_reviews, reviews
from llm_tutorial.data.text import Question, english_questions, held_out_english

__all__ = [
    "Document",
    "Entity",
    "JoinedReviews",
    "Message",
    "Pair",
    "Question",
    "Review",
    "Span",
    "bio_labels",
    "cldr_pairs",
    "english_questions",
    "held_out_english",
    "joined_reviews",
    "messages",
    "neighbours",
    "people_daily",
    "reviews",
]

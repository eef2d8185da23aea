"""The dialogue in words, in English and in Chinese: templates for what both sides say, and transcripts."""

from dataclasses import dataclass

import numpy as np

from llm_tutorial.rl.dialogue.belief import NOTHING
from llm_tutorial.rl.dialogue.domain import SLOTS, Floats, Ints, names
from llm_tutorial.rl.dialogue.policies import Policy
from llm_tutorial.rl.dialogue.simulator import BOOK, CONFIRM, HANG_UP, OPEN, REQUEST, SUMMARY, Dialogues, Users

PHRASES = {
    "en": {
        "open": "Which train would you like?",
        "request": ("Where do you leave from?", "Where do you want to go?", "On which day?", "At what time of day?"),
        "confirm": "{}: is that right?",
        "book": "I am booking: {}.",
        "none": "There is no train {}.",
        "hang_up": "Goodbye.",
        "yes": "yes",
        "no": "no",
        "lost": "(hangs up)",
        "nothing": "…",
        "slots": ("from {}", "to {}", "on {}", "in the {}"),
        "join": " ",
        "both": "{}, {}",
    },
    "zh": {
        "open": "请问您要哪一趟车？",
        "request": ("请问从哪里出发？", "请问到哪里去？", "请问哪一天？", "请问什么时段？"),
        "confirm": "{}，对吗？",
        "book": "正在为您预订：{}。",
        "none": "没有{}的车。",
        "hang_up": "再见。",
        "yes": "对",
        "no": "不对",
        "lost": "（挂断）",
        "nothing": "……",
        "slots": ("从{}", "到{}", "{}", "{}"),
        "join": "，",
        "both": "{}，{}",
    },
}


@dataclass(frozen=True)
class Turn:
    """One turn of a dialogue; slots and values by number."""

    action: int
    best: tuple[int, ...]  # the likeliest values before it
    said: tuple[int, ...]  # values that the user said, or NOTHING
    answer: int
    heard: tuple[int, ...]
    heard_answer: int
    belief: Floats  # after it, (slots, values)
    ended: str  # "", "booked", "wrong", "lost", "gave up", "cut"


def record(policy: Policy, noise: float, seed: int, users: Users | None = None) -> tuple[Ints, list[Turn]]:
    """Lets a policy talk to one user.

    Args:
        policy: Given observations, actions.
        noise: Rate of recognition errors.
        seed: Of the user.
        users: How users behave.

    Returns:
        The goal at the end, and the turns.

    Example:
        >>> from llm_tutorial.rl.dialogue.policies import HandWritten
        >>> goal, turns = record(HandWritten(), noise=0.0, seed=0)
        >>> turns[-1].ended
        'booked'
    """
    dialogue, turns, ended = Dialogues(1, noise, users, seed=seed), [], ""
    while not ended:
        action = policy(dialogue.observation())
        _, terminated, truncated = dialogue.step(action)
        if terminated[0]:
            if dialogue.hung_up[0]:
                ended = "lost"
            else:
                ended = "gave up" if action[0] == HANG_UP else "booked" if dialogue.success[0] else "wrong"
        elif truncated[0]:
            ended = "cut"
        turns.append(
            Turn(
                int(action[0]),
                tuple(dialogue.best[0].tolist()),
                tuple(np.where(dialogue.said[0], dialogue.goal[0], NOTHING).tolist()),
                int(dialogue.answer[0]),
                tuple(dialogue.heard[0].tolist()),
                int(dialogue.heard_answer[0]),
                dialogue.belief[0],
                ended,
            )
        )
    return dialogue.goal[0], turns


def values(slots: tuple[int, ...], language: str = "en") -> str:
    """The values of slots in words.

    Args:
        slots: A value for each slot, or ``NOTHING``.
        language: ``en`` or ``zh``.

    Example:
        >>> values((7, 2, 0, 1)), values((7, 2, 0, -1), "zh")
        ('from Paris to Berlin on Monday in the afternoon', '从巴黎，到柏林，星期一')
    """
    phrases, words = PHRASES[language], names(language)
    said = [
        form.format(words[slot][value])
        for slot, (form, value) in enumerate(zip(phrases["slots"], slots, strict=True))
        if value != NOTHING
    ]
    return str(phrases["join"]).join(said)


def system_says(turn: Turn, language: str = "en") -> str:
    """What the system says in a turn.

    Args:
        turn: Of a recorded dialogue.
        language: ``en`` or ``zh``.
    """
    phrases, action = PHRASES[language], turn.action
    if action in (OPEN, HANG_UP):
        return str(phrases["open" if action == OPEN else "hang_up"])
    if action < CONFIRM:
        return phrases["request"][action - REQUEST]
    if action == BOOK:
        return str(phrases["book" if turn.ended in ("booked", "wrong") else "none"]).format(values(turn.best, language))
    asked = [slot for slot in range(len(SLOTS)) if action in (SUMMARY, CONFIRM + slot)]
    shown = tuple(value if slot in asked else NOTHING for slot, value in enumerate(turn.best))
    text = values(shown, language)
    return str(phrases["confirm"]).format(text[0].upper() + text[1:])


def user_says(turn: Turn, language: str = "en", heard: bool = False) -> str:
    """What the user says in a turn, or what is heard of it.

    Args:
        turn: Of a recorded dialogue.
        language: ``en`` or ``zh``.
        heard: After the channel.
    """
    phrases = PHRASES[language]
    answer, slots = (turn.heard_answer, turn.heard) if heard else (turn.answer, turn.said)
    if turn.ended == "lost":
        return str(phrases["lost"])
    parts = [str(phrases["yes" if answer else "no"])] if answer != NOTHING else []
    if any(value != NOTHING for value in slots):
        parts.append(values(slots, language))
    return str(phrases["both"]).format(*parts) if len(parts) > 1 else "".join(parts)

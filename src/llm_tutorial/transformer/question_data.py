"""Questions about passages of real documentation, made by rule: the answer is a span of the passage, or there is none.

The passages are docstrings (`llm_tutorial.data.documentation`) and facts of the Unicode CLDR in English and Chinese
(through Babel, Unicode License v3). The questions are templates in several wordings. What they ask about is real, how
they ask it is not: questions written by hand are in `documentation_questions`.
"""

import random
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from babel import Locale
from babel.core import UnknownLocaleError
from babel.languages import get_official_languages
from babel.numbers import get_territory_currencies

from llm_tutorial.data.documentation import (
    DocumentedObject,
    documentation_questions,
    documented_objects,
    object_passages,
    reference_passages,
)
from llm_tutorial.data.splits import check_split, split_of

LONGEST = 260  # characters of a passage
UNANSWERABLE = 0.25  # share

WORDINGS = {
    "type": (
        "What type is `{p}` of `{f}`?", "Which type does the parameter `{p}` of `{f}` have?",
        "What kind of value does `{f}` expect for `{p}`?", "What may I pass as `{p}` to `{f}`?",
        "What sort of object is given as `{p}` in a call of `{f}`?", "If I set `{p}` of `{f}`, to what?",
    ),
    "default": (
        "What is the default of `{p}` in `{f}`?", "What is the default value of `{p}` of `{f}`?",
        "Which value does `{p}` of `{f}` have if I leave it out?", "What does `{f}` use for `{p}` by default?",
        "What is `{p}` when `{f}` is called without it?", "If I do not set `{p}` in `{f}`, which value is taken?",
    ),
    "meaning": (
        "What does `{p}` of `{f}` do?", "What is `{p}` of `{f}`?", "What does the parameter `{p}` mean in `{f}`?",
        "What is `{p}` for in `{f}`?", "How is `{p}` described for `{f}`?", "Why would I set `{p}` in `{f}`?",
    ),
    "purpose": (
        "What does `{f}` do?", "What is `{f}` for?", "What is the purpose of `{f}`?", "What happens when I call `{f}`?",
        "What can I use `{f}` for?", "Why would I call `{f}`?",
    ),
    "returns": (
        "What does `{f}` return?", "What do I get back from `{f}`?", "What is the result of `{f}`?",
        "What comes back when I call `{f}`?", "`{f}` gives me what?", "What value do I receive from `{f}`?",
    ),
    "name": (
        "What do I call to {s}?", "Which function or method should I use to {s}?", "How do I {s}?",
        "What is there to {s}?", "I want to {s}. What is it called?", "Is there something that lets me {s}?",
    ),
    "raises": (
        "Which exception does `{f}` raise?", "What error can `{f}` raise?", "What does `{f}` raise?",
        "Which error do I have to expect from `{f}`?", "What goes wrong in `{f}`, as an exception?",
        "What should I catch around `{f}`?",
    ),
    "currency": (
        "What is the currency of {t}?", "Which currency is used in {t}?", "What do people in {t} pay with?",
        "Which money does {t} use?", "In which currency do I pay in {t}?", "What money do I need for a trip to {t}?",
    ),
    "language": (
        "What is the official language of {t}?", "Which language is official in {t}?", "Which language does {t} use?",
        "What is spoken officially in {t}?", "In which language are the laws of {t} written?",
        "Which language should I learn for {t}?",
    ),
    "week": (
        "On which day does the week begin in {t}?", "What is the first day of the week in {t}?",
        "With which day does a week start in {t}?", "Which day comes first in a week in {t}?",
        "Which day is in the first column of a calendar in {t}?", "When does a week start in {t}?",
    ),
    "货币": (
        "{t}的货币是什么？", "{t}使用哪种货币？", "在{t}用什么钱？", "{t}通用哪种货币？", "去{t}旅行要换什么钱？", "在{t}付款用哪种货币？",
    ),
    "语言": (
        "{t}的官方语言是什么？", "{t}以哪种语言为官方语言？", "{t}使用什么语言？", "在{t}官方说什么语言？", "{t}的法律用什么语言写成？",
        "去{t}该学哪种语言？",
    ),
    "星期": (
        "{t}的一周从星期几开始？", "在{t}，一周的第一天是星期几？", "{t}一周从哪天算起？", "在{t}，每周的首日是哪天？",
        "{t}的日历第一列是星期几？", "{t}哪天算一周之始？",
    ),
}  # fmt: skip
"""Six wordings of each kind of question; the last two are kept for testing."""

NEW_WORDINGS = 2
DOCUMENTATION, FACTS = tuple(WORDINGS)[:7], tuple(WORDINGS)[7:]
VERBS = frozenset({
    "Return", "Compute", "Create", "Get", "Set", "Load", "Write", "Read", "Find", "Check", "Convert", "Add",
    "Remove", "Make", "Open", "Close", "Send", "Test", "Parse", "Generate", "Build", "Print", "Fit", "Predict",
    "Transform", "Evaluate", "Estimate", "Calculate", "Apply", "Draw", "Copy", "Format", "Register", "Run", "Start",
    "Stop", "Wait",
})  # fmt: skip
_RAISES = re.compile(r"\b[Rr]ais(?:es?|ed|ing) (?:an? |the )?`?((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Warning|Exit))\b")
_DEFAULT = re.compile(r"(?:, |^)default(?:=| is |: | )(.+)$")


class QuestionExample(NamedTuple):
    """A question, a passage, and where in it the answer stands.

    Attributes:
        kind: a key of ``WORDINGS``, or ``written`` for a question that a person wrote.
        question: ends in a question mark.
        context: the passage.
        answer: word for word as in the passage; empty where the passage does not answer.
        start: of the answer, in characters of the passage; -1 where there is none.
        new_wording: training has no question worded like this.
        group: by which it is held out: a module or a territory.
    """

    kind: str
    question: str
    context: str
    answer: str
    start: int
    new_wording: bool
    group: str


def question_examples(split: str = "train", count: int | None = None, seed: int = 0) -> list[QuestionExample]:
    """Questions of all kinds in turn, the same ones for the same arguments.

    Modules and territories of one split are in no other, so no passage is; and no line that answers a question of
    ``validation`` or ``test`` stands in a passage of ``train``. Questions of ``test`` have new wordings in every other
    round.

    Args:
        split: ``train``, ``validation`` or ``test``.
        count: how many; all that the rarest kind allows if not given.
        seed: of the draw.

    Raises:
        ValueError: an unknown split.

    Example:
        >>> found = question_examples("test", 13)[1]
        >>> found.kind, found.context[found.start :][: len(found.answer)] == found.answer
        ('default', True)
        >>> train, test = question_examples("train", 2600), question_examples("test", 390)
        >>> {each.context for each in train} & {each.context for each in test}
        set()
    """
    check_split(split)
    rng = random.Random(f"{split} {seed}")
    kinds = {kind: _shuffled(rng, _of_kind(kind, split)) for kind in WORDINGS}
    found = list[QuestionExample]()
    rounds = -(-count // len(kinds)) if count else min(map(len, kinds.values()))
    for turn in range(rounds):
        for kind, facts in kinds.items():
            found.append(_asked(rng, facts[turn % len(facts)], kind, split, turn))
    return found[:count]


def written_examples(splits: tuple[str, ...] = ("test",)) -> list[QuestionExample]:
    """The questions that were written by hand, each with the first of its passages.

    >>> examples = written_examples()
    >>> len(examples), sum(not example.answer for example in examples)
    (77, 16)
    """
    texts = {passage.id: passage for passage in [*reference_passages(), *object_passages()]}
    found = list[QuestionExample]()
    for split in splits:
        for asked in documentation_questions(split):
            passage = texts[asked.passages[0]]
            start = passage.text.index(asked.answer) if asked.answer else -1
            found.append(
                QuestionExample("written", asked.question, passage.text, asked.answer, start, True, passage.topic)
            )
    return found


def answer_line(example: "QuestionExample | _Fact") -> str:
    r"""The whole line of the passage in which the answer begins.

    >>> answer_line(QuestionExample("default", "?", "f(x)\nx : int, default=1\nA number.", "1", 21, False, ""))
    'x : int, default=1'
    """
    before = example.context.rfind("\n", 0, example.start) + 1
    return example.context[before:].split("\n", 1)[0]


class _Fact(NamedTuple):
    """What can be asked, the passage that answers it, and what stands in each passage that does."""

    slots: dict[str, str]
    context: str
    answer: str
    start: int
    needs: tuple[str, ...]
    others: tuple[str, ...]
    group: str


def _asked(rng: random.Random, fact: _Fact, kind: str, split: str, turn: int) -> QuestionExample:
    seen = len(WORDINGS[kind]) - NEW_WORDINGS
    new = split == "test" and turn % 2 == 1
    wording = rng.choice(WORDINGS[kind][seen:] if new else WORDINGS[kind][:seen])
    question = wording.format(**fact.slots)
    if rng.random() < UNANSWERABLE:
        others = [text for text in fact.others if not all(needed in text for needed in fact.needs)]
        if others:
            return QuestionExample(kind, question, rng.choice(others), "", -1, new, fact.group)
    return QuestionExample(kind, question, fact.context, fact.answer, fact.start, new, fact.group)


def _shuffled(rng: random.Random, facts: list[_Fact]) -> list[_Fact]:
    return rng.sample(facts, len(facts))


def _of_kind(kind: str, split: str) -> list[_Fact]:
    """What is asked; other modules may describe a parameter word for word alike, as ``random_state``: left out."""
    facts = list(_all_of_kind(kind, split))
    return facts if split == "train" else [fact for fact in facts if answer_line(fact) not in _lines_of_training()]


def _all_of_kind(kind: str, split: str) -> Iterator[_Fact]:
    if kind in FACTS:
        yield from _territory_facts(kind, split)
    elif kind in ("type", "default", "meaning"):
        for library in ("numpy", "scipy", "sklearn"):
            yield from _parameter_facts(kind, split, library)
    else:
        for library in ("python", "numpy", "sklearn"):
            yield from _object_facts(kind, split, library)


@cache
def _lines_of_training() -> frozenset[str]:
    facts = [fact for kind in WORDINGS for fact in _all_of_kind(kind, "train")]
    texts = {text for fact in facts for text in (fact.context, *fact.others)}
    return frozenset(line for text in texts for line in text.split("\n"))


def _short(documented: DocumentedObject) -> str:
    parts = documented.name.split(".")
    return ".".join(parts[-2:] if documented.kind == "method" else parts[-1:])


def _header(documented: DocumentedObject) -> str:
    """Its name with the parameters, where they are not too many."""
    _, bracket, parameters = documented.signature.partition("(")
    return _short(documented) + (bracket + parameters if len(parameters) < 100 else "(...)")


def _modules(split: str, library: str) -> Iterator[list[DocumentedObject]]:
    modules: dict[str, list[DocumentedObject]] = {}
    for documented in documented_objects(split, library, words=0):
        modules.setdefault(documented.module, []).append(documented)
    yield from modules.values()


def _parameter_facts(kind: str, split: str, library: str) -> Iterator[_Fact]:
    """Of a parameter: it stands in the passage of its function, beside at most two others."""
    for documented in _modules(split, library):
        passages = [(each, place, _parameters_text(each, place)) for each in documented for place in _places(each)]
        others = tuple(text for _, _, text in passages)
        for each, place, text in passages:
            name = _short(each)
            for parameter in each.parameters[place : place + 3]:
                answer, before = _of_parameter(kind, parameter.type, parameter.description)
                line = f"{parameter.name} : {parameter.type}\n{_first(parameter.description)}"
                if not answer or line not in text or "," in parameter.name or len(answer) > 160:
                    continue
                start = text.index(line) + len(f"{parameter.name} : {before}")
                if kind == "meaning":
                    start = text.index(line) + len(f"{parameter.name} : {parameter.type}\n")
                if text[start : start + len(answer)] == answer:
                    # a default stands in the header, too
                    needs = (name,) if kind == "default" else (name, f"\n{parameter.name} : ")
                    yield _Fact({"f": name, "p": parameter.name}, text, answer, start, needs, others, each.module)


def _places(documented: DocumentedObject) -> range:
    return range(0, len(documented.parameters), 3)


def _parameters_text(documented: DocumentedObject, place: int) -> str:
    lines = [_header(documented), documented.summary]
    for parameter in documented.parameters[place : place + 3]:
        lines.append(f"{parameter.name} : {parameter.type}\n{_first(parameter.description)}")
        if len("\n".join(lines)) > LONGEST:
            lines.pop()
    return "\n".join(lines)


def _of_parameter(kind: str, type_: str, description: str) -> tuple[str, str]:
    """The answer, and what stands before it on the line of the type."""
    default = _DEFAULT.search(type_)
    if kind == "meaning":
        return _first(description), ""
    if kind == "default":
        return (default.group(1), type_[: default.start(1)]) if default else ("", "")
    return (type_[: default.start()] if default else type_).removesuffix(", optional"), ""


def _first(text: str) -> str:
    """The first sentence."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])|\n", text.strip(), maxsplit=1)[0]


def _object_facts(kind: str, split: str, library: str) -> Iterator[_Fact]:
    """Of a function or method: it stands in a passage with up to two others of its module."""
    for documented in _modules(split, library):
        texts = [(each, _object_text(each, kind)) for each in documented if each.kind in ("function", "method")]
        texts = [(each, text) for each, text in texts if len(text) < LONGEST]
        passages, at = list[list[tuple[DocumentedObject, str]]](), 0
        while at < len(texts):
            passage = [texts[at]]
            while (
                at + len(passage) < len(texts)
                and len(passage) < 3
                and sum(len(text) for _, text in passage) + len(texts[at + len(passage)][1]) < LONGEST
            ):
                passage.append(texts[at + len(passage)])
            passages.append(passage)
            at += len(passage)
        joined = tuple("\n\n".join(text for _, text in passage) for passage in passages)
        for passage, context in zip(passages, joined, strict=True):
            for each, text in passage:
                found = _of_object(kind, each, text)
                if not found:
                    continue
                slots, answer, place = found
                start = context.index(text) + place
                name = _short(each)
                needs = (each.summary,) if kind == "name" else (name,)  # fit and partial_fit may do the same
                yield _Fact({"f": name, **slots}, context, answer, start, needs, joined, each.module)


def _object_text(documented: DocumentedObject, kind: str) -> str:
    text = f"{_header(documented)}\n{documented.summary}"
    if kind == "raises" and (match := _RAISES.search(documented.body)):
        before = documented.body.rfind("\n", 0, match.start()) + 1
        after = documented.body.find("\n", match.end())
        return f"{text}\n{documented.body[before : after if after > 0 else None]}"
    return text


def _of_object(kind: str, documented: DocumentedObject, text: str) -> tuple[dict[str, str], str, int] | None:
    """What the question names, the answer, and its place in the text; or nothing to ask."""
    summary, head = documented.summary, len(_header(documented)) + 1
    if kind == "raises":
        match = _RAISES.search(text, head)
        return ({}, match.group(1), match.start(1)) if match else None
    if kind == "returns":
        match = re.match(r"Returns? (?=\w)", summary)
        end = len(summary.rstrip("."))
        return ({}, summary[match.end() : end], head + match.end()) if match and end - match.end() < 160 else None
    if kind == "name":
        verb, _, rest = summary.rstrip(".").partition(" ")
        if verb not in VERBS or not rest or len(summary) > 90:
            return None
        return {"s": f"{verb.lower()} {rest}"}, _short(documented), 0
    return ({}, summary, head) if 15 < len(summary) < 160 and not summary.startswith("Return") else None


def _territory_facts(kind: str, split: str) -> Iterator[_Fact]:
    """Of a territory: it stands in a passage with another one."""
    language = "en" if kind.isascii() else "zh"
    facts = [(code, sentences) for code in _territories() if split_of(code) == split
             for sentences in [_territory(code, language)]]  # fmt: skip
    order = random.Random(f"{language} {split}")
    which = ("currency", "language", "week").index(kind) if language == "en" else ("货币", "语言", "星期").index(kind)
    for code, (name, sentences, answers) in facts:
        for _ in range(3):
            beside = order.sample([fact for fact in facts if fact[0] != code], 1)
            parts = [(name, sentences), *((other, said) for _, (other, said, _) in beside)]
            order.shuffle(parts)
            paragraph, sentence = _paragraph(name, sentences, language), sentences[which]
            context = "\n".join(_paragraph(*part, language) for part in parts)
            start = context.index(paragraph) + paragraph.index(sentence) + sentence.rindex(answers[which])
            less = _paragraph(name, tuple(said for said in sentences if said != sentence), language)
            others = (
                context.replace(paragraph, less),
                "\n".join(_paragraph(*part, language) for part in parts if part[0] != name),
            )
            yield _Fact({"t": name}, context, answers[which], start, (paragraph,), others, code)


def _paragraph(name: str, sentences: tuple[str, ...], language: str) -> str:
    return f"{name}: {'; '.join(sentences)}." if language == "en" else f"{name}：{'；'.join(sentences)}。"


def _territories() -> list[str]:
    """Territories of which CLDR knows one currency, one official language and the week, by name in both languages."""
    found, english, chinese = [], Locale("en"), Locale("zh")
    for code in sorted(english.territories):
        currencies, languages = get_territory_currencies(code), get_official_languages(code)
        if len(code) != 2 or not code.isalpha() or len(currencies) != 1 or len(languages) != 1:
            continue
        known = [
            currencies[0] in locale.currencies and languages[0] in locale.languages and code in locale.territories
            for locale in (english, chinese)
        ]
        try:
            Locale.parse(f"und_{code}")
        except UnknownLocaleError:
            continue
        if all(known):
            found.append(code)
    return found


def _territory(code: str, language: str) -> tuple[str, tuple[str, str, str], tuple[str, str, str]]:
    """Its name, three sentences, and what each of them says."""
    locale = Locale(language)
    name = locale.territories[code]
    currency = locale.currencies[get_territory_currencies(code)[0]]
    spoken = locale.languages[get_official_languages(code)[0]]
    day = locale.days["format"]["wide"][Locale.parse(f"und_{code}").first_week_day]
    if language == "en":
        said = (f"the currency is the {currency}", f"the official language is {spoken}", f"the week begins on {day}")
    else:
        said = (f"货币是{currency}", f"官方语言是{spoken}", f"一周从{day}开始")
    return name, said, (currency, spoken, day)


def lengthened(examples: Sequence[QuestionExample], passages: int = 3, seed: int = 0) -> list[QuestionExample]:
    """The same questions about longer passages: each stands at a random place among those of other groups.

    Args:
        examples: of one split.
        passages: in each text, its own included.
        seed: of the draw.

    Example:
        >>> examples = question_examples("validation", 26)
        >>> longer = lengthened(examples)
        >>> all(each.context[each.start :].startswith(each.answer) for each in longer if each.answer)
        True
        >>> longer[0].context.count(examples[0].context)
        1
    """
    rng = random.Random(f"longer {seed}")
    found = list[QuestionExample]()
    for example in examples:
        names = example.question.split("`")[1::2]
        beside = [
            each.context
            for each in examples
            if each.group != example.group
            and (each.kind in FACTS, each.kind.isascii()) == (example.kind in FACTS, example.kind.isascii())
            and not (names and all(name in each.context for name in names))
            and not (example.kind in FACTS and _shares_a_name(each.context, example))
        ]
        parts = rng.sample(sorted(set(beside)), min(passages - 1, len(set(beside))))
        place = rng.randrange(len(parts) + 1)
        before = "".join(f"{part}\n\n" for part in parts[:place])
        context = "\n\n".join([*parts[:place], example.context, *parts[place:]])
        start = example.start + len(before) if example.answer else -1
        found.append(example._replace(context=context, start=start))
    return found


def _shares_a_name(context: str, example: QuestionExample) -> bool:
    """Whether a territory that the question may mean stands in the other passage."""
    names = [re.split("[:：]", line)[0] for line in context.split("\n")]
    return any(name in example.question or name in example.context for name in names)

r"""From a JSON schema to the tokens that may come next: text that always parses, also when tokens run out.

A schema becomes an automaton over bytes, built from its end: ``build(schema, then)`` gives the state in which a value
begins that is followed by ``then``. A state is a dictionary from a byte to the state after it. All lengths are bounded,
so there are no cycles, and from each state the text can be brought to its end in a known number of tokens: those of the
end with the fewest bytes (another end may need fewer tokens). A token is allowed where its bytes lead from state to
state, whatever borders it crosses, to a state whose end is near enough (Willard and Louf, 2023, arXiv:2307.09702, index
a vocabulary by the states of a finite automaton).

What is written has the form of ``json.dumps``: a space after each comma and colon, keys in the order of the schema. Not
every text that the schema allows can be written, but what is written is valid. Keywords that this module does not know
are refused, not ignored.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LogitsProcessor

Schema = Mapping[str, Any]
State = dict[int, Any]  # symbol -> State; a symbol is a byte or END

END = 256  # the text ends here: what the end token says
DEAD = 0  # the state from which nothing is right
LONGEST_STRING, MOST_ITEMS, LARGEST_INTEGER = 64, 8, 10**15 - 1  # where the schema names no bound

ANNOTATIONS = {"$comment", "$defs", "$schema", "additionalProperties", "default", "deprecated", "description", "examples", "title"}  # fmt: skip
KEYWORDS = {
    "string": {"minLength", "maxLength"},
    "integer": {"minimum", "maximum"},
    "boolean": set[str](),
    "null": set[str](),
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required"},
}


class SchemaError(ValueError):
    """A schema that cannot be turned into an automaton; the message is in English and Chinese."""


def literal(text: str, then: State) -> State:
    """Exactly this text.

    Args:
        text: What to write.
        then: The state after it.

    Example:
        >>> literal("no", {END: {}})
        {110: {111: {256: {}}}}
    """
    for byte in reversed(text.encode()):
        then = {byte: then}
    return then


def either(*options: State) -> State:
    """One of several: a state that goes wherever any of them goes.

    Args:
        options: States; where several know a symbol, what follows it is merged in turn.

    Example:
        >>> end = {END: {}}
        >>> either(literal("a", end), literal("ab", end))
        {97: {256: {}, 98: {256: {}}}}
    """
    known: dict[tuple[int, int], tuple[State, State, State]] = {}  # holds what it names, so that ids stay their own

    def merge(one: State, other: State) -> State:
        if one is other:
            return one
        if (id(one), id(other)) not in known:
            merged = dict(one)
            for symbol, target in other.items():
                merged[symbol] = merge(merged[symbol], target) if symbol in merged else target
            known[id(one), id(other)] = one, other, merged
        return known[id(one), id(other)][2]

    return functools.reduce(merge, options)


def character(then: State) -> State:
    r"""One character inside a JSON string, in UTF-8; control characters only as ``\n`` and the like.

    Args:
        then: The state after it.

    Example:
        >>> "é".encode()[0] in character({}), ord('"') in character({})
        (True, False)
    """

    def span(first: int, last: int, target: State) -> State:
        return dict.fromkeys(range(first, last + 1), target)

    one = span(0x80, 0xBF, then)  # one more byte
    two = span(0x80, 0xBF, one)
    state = {byte: then for byte in range(0x20, 0x80) if chr(byte) not in '"\\'}
    state[ord("\\")] = dict.fromkeys(b'"\\/bfnrt', then)
    state |= span(0xC2, 0xDF, one) | span(0xE1, 0xEF, two) | span(0xF1, 0xF3, span(0x80, 0xBF, two))
    # neither overlong forms, nor surrogates, nor numbers above U+10FFFF
    state |= {0xE0: span(0xA0, 0xBF, one), 0xED: span(0x80, 0x9F, one)}
    state |= {0xF0: span(0x90, 0xBF, two), 0xF4: span(0x80, 0x8F, two)}
    return state


def string(shortest: int, longest: int, then: State) -> State:
    """A string in quotes of so many characters.

    Args:
        shortest: Characters at least.
        longest: Characters at most.
        then: The state after it.
    """
    close = literal('"', then)
    state = close
    for length in range(longest - 1, -1, -1):
        state = character(state) | (close if length >= shortest else {})
    return {ord('"'): state}


def integer(low: int, high: int, then: State) -> State:
    """An integer from ``low`` to ``high``, without leading zeros.

    Args:
        low: The smallest.
        high: The largest.
        then: The state after it.
    """

    @functools.cache
    def digits(smallest: str, largest: str) -> State:  # numbers of one length
        if not smallest:
            return then
        rest = len(smallest) - 1
        return {
            ord(digit): digits(
                smallest[1:] if digit == smallest[0] else "0" * rest, largest[1:] if digit == largest[0] else "9" * rest
            )
            for digit in map(str, range(int(smallest[0]), int(largest[0]) + 1))
        }

    def natural(low: int, high: int) -> State:
        lengths = range(len(str(low)), len(str(high)) + 1)
        bounds = [(max(low, 10 ** (n - 1) if n > 1 else 0), min(high, 10**n - 1)) for n in lengths]
        return either(*(digits(str(smallest), str(largest)) for smallest, largest in bounds))

    options = [natural(max(low, 0), high)] if high >= 0 else []
    if low < 0:
        options.append({ord("-"): natural(max(1, -high), -low)})
    return either(*options)


def array(item: Schema, fewest: int, most: int, then: State) -> State:
    """A list of so many items.

    Args:
        item: Schema of each.
        fewest: Items at least.
        most: Items at most.
        then: The state after it.
    """
    close = literal("]", then)
    if not most:
        return {ord("["): close}
    state = close
    for count in range(most - 1, 0, -1):  # after so many items
        more = literal(", ", build(item, state))
        state = either(more, close) if count >= fewest else more
    first = build(item, state)
    return {ord("["): first if fewest else either(first, close)}


def record(properties: Mapping[str, Schema], required: Sequence[str], then: State) -> State:
    """An object with these keys in this order; those that are not required may be left out.

    Args:
        properties: Schema of each value, by its key.
        required: Keys that must be there.
        then: The state after it.
    """
    names = list(properties)

    @functools.cache
    def rest(place: int, comma: bool) -> State:
        if place == len(names):
            return literal("}", then)
        key = ", " * comma + json.dumps(names[place], ensure_ascii=False) + ": "
        written = literal(key, build(properties[names[place]], rest(place + 1, True)))
        return written if names[place] in required else either(written, rest(place + 1, comma))

    return {ord("{"): rest(0, False)}


def build(schema: Schema, then: State) -> State:
    """The state in which a value of this schema begins.

    Args:
        schema: Without references; see ``resolved``.
        then: The state after the value.

    Raises:
        SchemaError: A keyword that this module does not know, or bounds that nothing fulfils.

    Example:
        >>> build({"type": "boolean"}, {}) == either(literal("true", {}), literal("false", {}))
        True
    """
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if unknown := sorted(set(kinds) - set(KEYWORDS)):
        raise _refused(f"type {unknown[0]!r}", f"类型 {unknown[0]!r}")
    choice = [keyword for keyword in ("enum", "const", "anyOf") if keyword in schema]
    allowed = set(choice) if choice else set().union(*(KEYWORDS[kind] for kind in kinds))
    if unknown := sorted(set(schema) - allowed - ANNOTATIONS - {"type"}):
        raise _refused(f"the keyword {unknown[0]!r} here", f"这里的关键字 {unknown[0]!r}")
    if len(choice) > 1 or ("anyOf" in choice and kinds) or not (choice or kinds):
        message = f"one of type, enum, const and anyOf is needed, not {sorted(schema)}"
        raise SchemaError(f"{message}\n每处只能用 type、enum、const、anyOf 之一，不能是 {sorted(schema)}")
    if "anyOf" in schema:
        return either(*(build(option, then) for option in _some(schema["anyOf"], "anyOf")))
    if choice:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        fitting = [value for value in values if not kinds or any(_is(value, kind) for kind in kinds)]
        texts = (json.dumps(value, ensure_ascii=False) for value in _some(fitting, choice[0]))
        return either(*(literal(text, then) for text in texts))
    return either(*(_typed(kind, schema, then) for kind in _some(kinds, "type")))


def _typed(kind: str, schema: Schema, then: State) -> State:
    match kind:
        case "string":
            shortest = schema.get("minLength", 0)
            longest = schema.get("maxLength", max(shortest, LONGEST_STRING))
            return string(*_bounds(shortest, longest, "minLength", "maxLength"), then)
        case "integer":
            low = schema.get("minimum", -LARGEST_INTEGER)
            high = schema.get("maximum", LARGEST_INTEGER)
            return integer(*_bounds(low, high, "minimum", "maximum"), then)
        case "boolean":
            return either(literal("true", then), literal("false", then))
        case "null":
            return literal("null", then)
        case "array":
            fewest = schema.get("minItems", 0)
            most = schema.get("maxItems", max(fewest, MOST_ITEMS))
            fewest, most = _bounds(fewest, most, "minItems", "maxItems")
            if "items" not in schema and most:
                raise SchemaError('an array needs "items"\n数组需要 "items"')
            return array(schema.get("items", {}), fewest, most, then)
        case _:
            properties, required = schema.get("properties", {}), schema.get("required", [])
            if missing := [name for name in required if name not in properties]:
                text = f"{missing[0]!r} is required, but no property describes it"
                raise SchemaError(f"{text}\n{missing[0]!r} 是必需的，properties 里却没有它")
            return record(properties, required, then)


def _bounds(low: Any, high: Any, low_name: str, high_name: str) -> tuple[int, int]:
    for value, name in ((low, low_name), (high, high_name)):
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or (value < 0 and name != "minimum" and name != "maximum")
        ):
            raise SchemaError(f"{name} must be a whole number, not {value!r}\n{name} 应为整数，不能是 {value!r}")
    if low > high:
        raise SchemaError(f"{low_name} {low} is above {high_name} {high}\n{low_name} {low} 大于 {high_name} {high}")
    return low, high


def _some(options: Any, keyword: str) -> Any:
    if not options:
        raise SchemaError(f"{keyword} leaves nothing that is valid\n{keyword} 没有留下任何合法的值")
    return options


def _is(value: Any, kind: str) -> bool:
    kinds = {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}
    return (
        isinstance(value, int) and not isinstance(value, bool) if kind == "integer" else isinstance(value, kinds[kind])
    )


def _refused(what: str, chinese: str) -> SchemaError:
    return SchemaError(
        f"this automaton cannot enforce {what}; it would be ignored in silence\n无法保证{chinese}，若不报错就会被悄悄忽略"
    )


def resolved(schema: Schema) -> Schema:
    """A schema with what its references (``"$ref": "#/$defs/…"``) point to in their place, as Pydantic writes them.

    Args:
        schema: The whole schema.

    Raises:
        SchemaError: A reference to elsewhere, or to something that holds the reference itself.

    Example:
        >>> resolved({"$ref": "#/$defs/yes", "$defs": {"yes": {"const": True}}})["const"]
        True
    """

    def walk(part: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(part, list):
            return [walk(each, inside) for each in part]
        if not isinstance(part, Mapping):
            return part
        if not isinstance(reference := part.get("$ref"), str):
            return {
                key: each if key in ("enum", "const") else walk(each, inside)
                for key, each in part.items()
                if key != "$defs"
            }
        name = reference.removeprefix("#/$defs/")
        if name not in schema.get("$defs", {}):
            raise SchemaError(f"nothing stands at {reference!r}\n{reference!r} 处没有内容")
        if name in inside:
            raise SchemaError(
                f"{reference!r} holds itself, so its texts have no bound\n{reference!r} 包含自身，文本长度没有上界"
            )
        return walk({**schema["$defs"][name], **{k: v for k, v in part.items() if k != "$ref"}}, (*inside, name))

    return walk(schema, ())


def token_bytes(tokenizer: Any) -> list[bytes]:
    r"""The bytes that each token writes, by its number; empty for special tokens and gaps.

    Args:
        tokenizer: A byte-level one (GPT-2, Llama 3, Qwen, SmolLM …).

    Raises:
        ValueError: Another kind of tokenizer.

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> tokenizer = load_tokenizer()
        >>> token_bytes(tokenizer)[tokenizer.encode(" für")[-1]]
        b' f\xc3\xbcr'
    """
    vocabulary = tokenizer.get_vocab()
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
    if not {letter for letter, byte in letters.items() if 32 <= byte < 127} <= set(vocabulary):
        raise ValueError(
            "this tokenizer is not a byte-level one: not every ASCII character is a token of its own\n"
            "这个分词器不是字节级的：有的 ASCII 字符没有自己的词元"
        )
    added = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    texts = [b""] * (max(vocabulary.values()) + 1)
    for text, number in vocabulary.items():
        if number not in added:
            texts[number] = bytes(letters[letter] for letter in text)
    return texts


class SchemaAutomaton:
    """The tokens that may come next, in each state of a schema's automaton.

    Args:
        schema: A JSON schema; see the module for what it may hold.
        tokenizer: A byte-level tokenizer with an end token.

    Attributes:
        start: The first state.
        fewest: Tokens of the valid text with the fewest bytes, the end token not counted. Another text may need fewer.

    Raises:
        SchemaError: The schema cannot be enforced.
        ValueError: The tokenizer is not a byte-level one, or has no end token.

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> tokenizer = load_tokenizer()
        >>> automaton = SchemaAutomaton({"enum": ["red", "green"]}, tokenizer)
        >>> state = automaton.walk(tokenizer.encode('"'))
        >>> [tokenizer.decode(token) for token in automaton.allowed(state).nonzero()[0]]
        ['g', 'r', 're', 'red', 'green', 'gr', 'gre']
    """

    def __init__(self, schema: Schema, tokenizer: Any) -> None:
        texts: list[Sequence[int]] = list(token_bytes(tokenizer))
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end token\n这个分词器没有结束词元")
        texts[tokenizer.eos_token_id] = (END,)
        self.end_token, self.texts = tokenizer.eos_token_id, texts
        lengths = np.array([len(text) for text in texts])
        self.order = np.argsort(-lengths, kind="stable")  # the longest token first
        self.symbols = [  # at each place, of the tokens that are so long
            np.array([texts[token][place] for token in self.order[: (lengths > place).sum()]])
            for place in range(lengths.max())
        ]
        self._tabulate(build(resolved(schema), {END: {}}))
        self.after = functools.lru_cache(256)(self._after)  # type: ignore[method-assign]
        self.fewest = int(self.cost[self.start])

    def _tabulate(self, start: State) -> None:
        """Numbers the states, each after those that follow it, and finds how far each is from its end."""
        numbers: dict[int, int] = {}
        order: list[State] = []
        stack = [(start, False)]
        while stack:
            state, expanded = stack.pop()
            if id(state) in numbers:
                continue
            if expanded:
                order.append(state)
                numbers[id(state)] = len(order)  # 0 is DEAD
            else:
                stack += [(state, True), *((each, False) for each in state.values() if id(each) not in numbers)]
        table = np.full((len(order) + 1, END + 1), DEAD, np.int32)
        for number, state in enumerate(order, 1):
            for symbol, target in state.items():
                table[number, symbol] = numbers[id(target)]
        self.table, self.start, self.ended = table, numbers[id(start)], 1
        # the shortest way to the end, byte by byte, and the fewest tokens that write it
        known = {tuple(text) for text in self.texts if text}
        far = np.iinfo(np.int32).max
        length, way = np.full(len(table), far), np.zeros(len(table), np.int64)
        self.cost: NDArray[np.int32] = np.full(len(table), far, np.int32)
        length[self.ended] = self.cost[self.ended] = 0
        for number, state in enumerate(order[1:], 2):
            ways = [(length[numbers[id(target)]], symbol) for symbol, target in state.items() if (symbol,) in known]
            if not ways or min(ways)[0] == far:
                continue
            length[number], way[number] = min(ways)[0] + 1, min(ways)[1]
            place, text = number, tuple[int, ...]()
            while place != self.ended and len(text) < len(self.symbols):
                text += (int(way[place]),)
                place = int(table[place, way[place]])
                if text in known:
                    self.cost[number] = min(self.cost[number], self.cost[place] + (text != (END,)))

    def _after(self, state: int) -> NDArray[np.int32]:
        states = np.full(len(self.texts), state, np.int32)  # in order of length
        for symbols in self.symbols:  # one place of all tokens that are so long
            states[: len(symbols)] = self.table[states[: len(symbols)], symbols]
        states[len(self.symbols[0]) :] = DEAD  # special tokens, which write nothing
        after = np.empty_like(states)
        after[self.order] = states
        return after

    def allowed(self, state: int, remaining: int | None = None) -> NDArray[np.bool_]:
        """Which tokens may come next.

        Args:
            state: Where the text is.
            remaining: Tokens that may still be written, the next one among them; None for no limit.

        Returns:
            True for each token that leads to a state from which the rest suffices for the end, (vocabulary,).
        """
        states = self.after(state)
        most = np.iinfo(np.int32).max - 1 if remaining is None else remaining - 1
        return (states != DEAD) & (self.cost[states] <= most)

    def walk(self, tokens: Sequence[int], state: int | None = None) -> int:
        """The state after some tokens; ``DEAD`` if they are not allowed.

        Args:
            tokens: Numbers of tokens; what stands after an end token does not count.
            state: Where to begin; at the start if left out.
        """
        state = self.start if state is None else state
        for token in tokens:
            if state == self.ended:
                break
            text = self.texts[token] if token < len(self.texts) else b""
            for symbol in text:
                state = int(self.table[state, symbol])
            state = state if text else DEAD
        return state


class SchemaProcessor(LogitsProcessor):
    """Forbids each token after which the text could no longer become valid, or no longer in time.

    It goes to one call of ``generate``, also with several beams, samples and settings for each row.

    Args:
        automaton: Of the schema and the model's tokenizer.
        prompt_length: Tokens of the prompts with their padding, ``input_ids.shape[1]``.
        max_new_tokens: The same number as in ``generate``; None for no limit.

    Raises:
        ValueError: A limit below ``automaton.fewest``.
    """

    def __init__(self, automaton: SchemaAutomaton, prompt_length: int, max_new_tokens: int | None = None) -> None:
        if max_new_tokens is not None and max_new_tokens < automaton.fewest:
            raise ValueError(
                f"the valid text of fewest bytes takes {automaton.fewest} tokens, more than max_new_tokens={max_new_tokens}\n"
                f"字节最少的合法文本要 {automaton.fewest} 个词元，多于 max_new_tokens={max_new_tokens}"
            )
        self.automaton, self.prompt_length, self.max_new_tokens = automaton, prompt_length, max_new_tokens

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(row, token), (row, vocabulary) -> (row, vocabulary), with -inf for each forbidden token.

        Raises:
            ValueError: A token was written that this processor had forbidden.
        """
        forbidden = torch.ones_like(scores, dtype=torch.bool)
        for row, written in enumerate(input_ids[:, self.prompt_length :].tolist()):
            state = self.automaton.walk(written)
            if state == DEAD:
                raise ValueError(
                    f"token {written[-1]} was forbidden and yet written: is another processor or sampler at work?\n"
                    f"词元 {written[-1]} 已被禁止却仍被写出：是否有别的处理器或采样器在起作用？"
                )
            if state == self.automaton.ended:
                forbidden[row, self.automaton.end_token] = False
                continue
            remaining = None if self.max_new_tokens is None else self.max_new_tokens - len(written)
            allowed = torch.from_numpy(self.automaton.allowed(state, remaining))
            forbidden[row, : len(allowed)] = ~allowed.to(scores.device)
        return scores.masked_fill(forbidden, -torch.inf)


@torch.no_grad()
def generate_json(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    schema: Schema | SchemaAutomaton,
    max_new_tokens: int,
    **kwargs: Any,
) -> list[str]:
    """Texts that are valid, one for each prompt, in one batch.

    Args:
        model: A decoder.
        tokenizer: Its tokenizer, a byte-level one.
        prompts: Whole prompts with all special tokens; none are added.
        schema: A JSON schema, or its automaton where many calls share it.
        max_new_tokens: Tokens at most; a text is brought to its end within them.
        kwargs: Passed on to ``generate``; greedy if left out.

    Raises:
        SchemaError: The schema cannot be enforced.
        ValueError: No prompts, or a limit below the automaton's ``fewest``.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> prompts = ["<|im_start|>The capital of France as JSON: "]
        >>> generate_json(load_model(), load_tokenizer(), prompts, {"enum": ["Oslo", "Paris", "Rome"]}, 8)
        ['"Paris"']
    """
    from llm_tutorial.evaluation import padded

    if not prompts:
        raise ValueError("there are no prompts\n没有给出提示词")
    automaton = schema if isinstance(schema, SchemaAutomaton) else SchemaAutomaton(schema, tokenizer)
    ids, mask = padded([tokenizer(text, add_special_tokens=False).input_ids for text in prompts], "left", model.device)
    written = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=max_new_tokens,
        logits_processor=[SchemaProcessor(automaton, ids.shape[1], max_new_tokens)],
        pad_token_id=automaton.end_token,
        **({"do_sample": False} | kwargs),
    )[:, ids.shape[1] :]
    return tokenizer.batch_decode(written, skip_special_tokens=True)

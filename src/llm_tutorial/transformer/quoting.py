"""Answers from passages: in the model's own words, or as a sentence copied out of one of them.

Answering from what was retrieved is that of Lewis et al. (2020, arXiv:2005.11401); judging a text by how likely it
makes the question that of Ponte and Croft (1998, SIGIR), with a language model that of Sachan et al. (2022,
arXiv:2204.07496).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llm_tutorial.evaluation import padded
from llm_tutorial.transformer.retrieval import ranked, sentences

Messages = list[dict[str, str]]
NOTHING = "Not in the documentation."
_EXAMPLES = (
    (
        "shutil.move\nRecursively move a file or directory to another location. If the destination is on our current "
        "filesystem, then rename() is used.",
        "How does moving a file work within one file system?",
        "rename() is used. [1]",
    ),
    ("calendar.isleap\nReturn True for leap years, False for non-leap years.", "Which leap year was hottest?", NOTHING),
)


def numbered(passages: Sequence[str]) -> str:
    r"""Passages as the prompt has them.

    >>> numbered(["f\nDoes it."])
    '[1] f\nDoes it.\n\n'
    """
    return "".join(f"[{number}] {text}\n\n" for number, text in enumerate(passages, start=1))


def plain(question: str, passages: Sequence[str] = ()) -> Messages:
    """The passages, the question, and a wish: nothing is said of what to do where nothing fits."""
    asked = f"{numbered(passages)}{question} Answer in one short sentence."
    return [{"role": "user", "content": asked}]


def rules(question: str, passages: Sequence[str] = ()) -> Messages:
    """Rules in a system message: answer from the documentation, cite it, say so where it does not answer."""
    source = ", only from the numbered passages of the documentation, and name the number" if passages else ""
    rule = f'Answer in one short sentence{source}. If you do not know the answer, say "{NOTHING}"'
    return [
        {"role": "system", "content": rule},
        {"role": "user", "content": f"{numbered(passages)}Question: {question}"},
    ]


def shown(question: str, passages: Sequence[str] = ()) -> Messages:
    """The rules, and two talks that follow them: one answers, one refuses."""
    system, asked = rules(question, passages)
    talks = [
        {"role": role, "content": content}
        for text, question, reply in _EXAMPLES
        for role, content in (
            ("user", f"{numbered([text] if passages else [])}Question: {question}"),
            ("assistant", reply if passages else reply.removesuffix(" [1]")),
        )
    ]
    return [system, *talks, asked]


PROMPTS: dict[str, Callable[[str, Sequence[str]], Messages]] = {"plain": plain, "rules": rules, "shown": shown}
"""Messages for a chat model, by question and passages; without passages it answers from memory."""


@torch.inference_mode()
def replies(
    model: nn.Module,
    tokenizer: Any,
    questions: Sequence[str],
    passages: Sequence[Sequence[str]],
    prompt: str = "shown",
    max_new_tokens: int = 32,
    batch_size: int = 16,
) -> list[str]:
    """Greedy replies of a chat model.

    Args:
        model: A decoder with a language-modelling head.
        tokenizer: Its tokenizer, with a chat template.
        questions: As they were asked.
        passages: Of each question, the best first; may be empty.
        prompt: One of ``PROMPTS``.
        max_new_tokens: Where a reply is cut off.
        batch_size: Questions answered together.
    """
    messages = [PROMPTS[prompt](question, read) for question, read in zip(questions, passages, strict=True)]
    options: dict[str, Any] = {"add_generation_prompt": True, "tokenize": False}
    rows = [
        tokenizer(text, add_special_tokens=False).input_ids
        for text in tokenizer.apply_chat_template(messages, **options)
    ]
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))  # little padding
    found: dict[int, str] = {}
    for at in range(0, len(order), batch_size):
        places = order[at : at + batch_size]
        ids, mask = padded([rows[place] for place in places], "left", device)
        written = model.generate(  # type: ignore[operator]
            ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.eos_token_id,
        )
        texts = tokenizer.batch_decode(written[:, ids.shape[1] :], skip_special_tokens=True)
        found.update(zip(places, (text.strip() for text in texts), strict=True))
    return [found[place] for place in range(len(rows))]


@torch.inference_mode()
def question_likelihood(
    model: nn.Module, tokenizer: Any, question: str, texts: Sequence[str], batch_size: int = 16
) -> Tensor:
    """Logarithm of the probability that a question follows each text: all are of the same tokens, so they compare.

    Args:
        model: A decoder with a language-modelling head.
        tokenizer: Its tokenizer; a token for the beginning of a text is put first where it has one.
        question: As it was asked.
        texts: Of which one may answer.
        batch_size: Texts read together.

    Returns:
        (texts,)
    """
    device = next(model.parameters()).device
    asked = tokenizer(f" {question}", add_special_tokens=False).input_ids
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    read = tokenizer([f"{text}\n\nQuestion:" for text in texts], add_special_tokens=False).input_ids
    rows = [[*start, *ids, *asked] for ids in read]
    found = torch.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    for at in range(0, len(order), batch_size):
        places = order[at : at + batch_size]
        ids, mask = padded([rows[place] for place in places], "left", device)  # so that all end together
        position = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(ids, attention_mask=mask, position_ids=position, logits_to_keep=len(asked) + 1).logits[:, :-1]
        target = ids[:, -len(asked) :, None]
        found[places] = logits.float().log_softmax(-1).gather(2, target).sum((1, 2)).cpu()
    return found


class Quote(NamedTuple):
    """A sentence copied out of a passage.

    Attributes:
        text: The sentence.
        number: Of its passage, from 1.
        score: Logarithm of the question's probability after it.
    """

    text: str
    number: int
    score: float


def quote(model: nn.Module, tokenizer: Any, question: str, passages: Sequence[str]) -> Quote:
    """The sentence of the passages that makes the question likeliest.

    Args:
        model: A decoder with a language-modelling head.
        tokenizer: Its tokenizer.
        question: As it was asked.
        passages: Each with its heading as the first line; the heading is read with every sentence, not quoted.

    Raises:
        ValueError: There is no sentence to quote.
    """
    offered = offered_sentences(passages)
    if not offered:
        raise ValueError("no passage has a sentence to quote\n没有一段文字里有可引用的句子")
    scores = question_likelihood(model, tokenizer, question, [read for _, _, read in offered])
    best = ranked(scores)[0]
    return Quote(*offered[best][:2], float(scores[best]))


def offered_sentences(passages: Sequence[str]) -> list[tuple[str, int, str]]:
    r"""Each sentence, the number of its passage, and what is read to judge it.

    >>> offered_sentences(["f\nDoes it. Fast."])
    [('Does it.', 1, 'f: Does it.'), ('Fast.', 1, 'f: Fast.')]
    """
    return [
        (sentence, number, f"{heading}: {sentence}")
        for number, passage in enumerate(passages, start=1)
        for heading, _, text in [passage.partition("\n")]
        for sentence in sentences(text)
    ]

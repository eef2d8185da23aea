"""How well a decoder answers and predicts: loss and exactness of answers, perplexity, questions with four choices.

All take any decoder of Transformers, adapters included, and give the same figure for every batch size. Shares run from
0 to 1.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llm_tutorial.data.text import Question
from llm_tutorial.packing import Example, answer_logits, answer_loss, answer_tokens

PROMPT = "Question: {question}\nAnswer:"


@torch.no_grad()
def answered_exactly(model: nn.Module, examples: Sequence[Example], batch_size: int = 20) -> float:
    """Share of examples whose answer, its end token included, greedy decoding gives token for token.

    Greedy decoding says an answer exactly when each of its tokens is the likeliest after those before it:
    one pass over all of them tells, without decoding.

    Args:
        model: A decoder with a language-modelling head.
        examples: Prompts with their answers.
        batch_size: Examples packed into one row; it changes the memory needed, not the result.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> ids = load_tokenizer()("<|im_start|>The capital of France is Paris").input_ids
        >>> answered_exactly(load_model(), [Example(ids, answer_from=len(ids) - 1)])
        1.0
    """
    right = 0
    for start in range(0, len(examples), batch_size):
        chosen = examples[start : start + batch_size]
        logits, labels = answer_logits(model, chosen, next(model.parameters()).device)
        hits = logits.argmax(-1) == labels  # (K,)
        right += sum(bool(part.all()) for part in hits.split([answer_tokens([example]) for example in chosen]))
    return right / len(examples)


@torch.no_grad()
def mean_answer_loss(model: nn.Module, examples: Sequence[Example], batch_size: int = 20) -> float:
    """Mean cross-entropy of the answers' tokens, in nats.

    Args:
        model: A decoder with a language-modelling head.
        examples: Prompts with their answers.
        batch_size: Examples packed into one row; it changes the memory needed, not the result.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> from llm_tutorial.packing import encode
        >>> tokenizer = load_tokenizer()
        >>> right, wrong = (encode(tokenizer, "The capital of France is", answer) for answer in (" Paris", " Oslo"))
        >>> mean_answer_loss(load_model(), [right]) < mean_answer_loss(load_model(), [wrong])
        True
    """
    parts = [examples[start : start + batch_size] for start in range(0, len(examples), batch_size)]
    device = next(model.parameters()).device
    return sum(float(answer_loss(model, part, device)) for part in parts) / answer_tokens(examples)


def perplexity(model: nn.Module, tokenizer: Any, texts: Sequence[str], window: int = 256, batch_size: int = 8) -> float:
    """Perplexity of texts: ``exp`` of the mean negative log-likelihood of a token.

    Each text is cut into windows of ``window`` tokens; the first token of a window is given, the others are predicted
    from those before them in the same window.

    Args:
        model: A decoder with a language-modelling head.
        tokenizer: Its tokenizer.
        texts: What to predict.
        window: Tokens in a window, at least 2.
        batch_size: Windows predicted at once; it changes the memory needed, not the result.

    Returns:
        The perplexity, at least 1.

    Raises:
        ValueError: Nothing to predict, or a window below 2.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> model, tokenizer = load_model(), load_tokenizer()
        >>> fluent = perplexity(model, tokenizer, ["The cat sat on the mat and looked at the birds."])
        >>> shuffled = perplexity(model, tokenizer, ["mat the at sat birds the on looked The and cat the."])
        >>> bool(fluent < shuffled)
        True
    """
    if window < 2:
        raise ValueError(f"window must be at least 2, got {window}\nwindow 至少为 2，给出的是 {window}")
    tokens = [_ids(tokenizer, text) for text in texts]
    windows = [ids[start : start + window] for ids in tokens for start in range(0, len(ids), window)]
    windows = sorted((ids for ids in windows if len(ids) > 1), key=len, reverse=True)
    if not windows:
        raise ValueError(
            "No text has two tokens or more, so there is nothing to predict\n没有一段文本达到两个词元，无可预测"
        )
    total, count = 0.0, 0
    with _evaluating(model) as device:
        for start in range(0, len(windows), batch_size):
            ids, mask = padded(windows[start : start + batch_size], "right", device)  # (batch, window)
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            predicted = mask[:, 1:].bool()
            total -= _log_likelihood(logits[:, :-1], ids[:, 1:])[predicted].double().sum().item()
            count += int(predicted.sum())
    return float(torch.tensor(total / count).exp())


def score_questions(
    model: nn.Module, tokenizer: Any, questions: Sequence[Question], prompt: str = PROMPT, batch_size: int = 16
) -> float:
    """Share of questions whose right answer the model finds the likeliest of the choices.

    A choice's score is the mean log-likelihood of its tokens, so that a long one is not at a disadvantage. Guessing
    gives 0.25.

    Args:
        model: A decoder with a language-modelling head.
        tokenizer: Its tokenizer.
        questions: Each with the same number of choices.
        prompt: What the choice follows, with a place for ``{question}``.
        batch_size: Questions scored at once; it changes the memory needed, not the result.

    Returns:
        Accuracy from 0 to 1.

    Example:
        >>> from llm_tutorial.data.text import english_questions
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> score_questions(load_model(), load_tokenizer(), english_questions()[:1])
        1.0
    """
    prompts = [prompt.format(question=question.question) for question in questions]
    scores = choice_scores(model, tokenizer, prompts, [question.choices for question in questions], batch_size)
    right = torch.tensor([question.choices.index(question.answer) for question in questions])
    return float((scores.argmax(dim=1) == right).double().mean())


def choice_scores(
    model: nn.Module, tokenizer: Any, prompts: Sequence[str], choices: Sequence[Sequence[str]], batch_size: int = 16
) -> Tensor:
    """Mean log-likelihood of each choice's tokens after its prompt and a space.

    A prompt is read once; its keys and values serve all its choices.

    Args:
        model: A decoder with a language-modelling head.
        tokenizer: Its tokenizer.
        prompts: One for each question.
        choices: For each question its choices, equally many.
        batch_size: Prompts read at once.

    Returns:
        Scores of shape (prompts, choices).

    Raises:
        ValueError: No prompts, or questions with different numbers of choices.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> prompts, choices = ["The capital of France is"], [["Oslo", "Paris", "Rome"]]
        >>> choice_scores(load_model(), load_tokenizer(), prompts, choices).argmax(dim=1).tolist()
        [1]
    """
    counts = {len(options) for options in choices}
    if len(counts) != 1 or len(prompts) != len(choices):
        raise ValueError(
            f"Every question needs the same number of choices, got {sorted(counts)} for {len(prompts)} prompts\n"
            f"每个问题的选项数必须相同，给出的是 {sorted(counts)}（{len(prompts)} 个提示）"
        )
    (choice_count,) = counts
    scores = []
    with _evaluating(model) as device:
        for start in range(0, len(prompts), batch_size):
            batch = slice(start, start + batch_size)
            prompt_ids = [_ids(tokenizer, prompt) for prompt in prompts[batch]]
            # Tokenised together with its prompt: some tokenizers treat the start of a text in their own way.
            choice_ids = [
                _ids(tokenizer, f"{prompt} {choice}")[len(ids) :]
                for prompt, ids, options in zip(prompts[batch], prompt_ids, choices[batch], strict=True)
                for choice in options
            ]
            # Prompts end, and choices begin, at the same place.
            prompt_ids_, prompt_mask = padded(prompt_ids, "left", device)  # (batch, prompt)
            ids, mask = padded(choice_ids, "right", device)  # (batch · choices, choice)
            read = model(
                input_ids=prompt_ids_,
                attention_mask=prompt_mask,
                position_ids=(prompt_mask.cumsum(1) - 1).clamp(min=0),
                use_cache=True,
                logits_to_keep=1,
            )
            read.past_key_values.batch_repeat_interleave(choice_count)
            prompt_mask = prompt_mask.repeat_interleave(choice_count, dim=0)
            logits = model(
                input_ids=ids,
                attention_mask=torch.cat([prompt_mask, mask], dim=1),
                position_ids=prompt_mask.sum(1, keepdim=True) + torch.arange(ids.shape[1], device=device),
                past_key_values=read.past_key_values,
            ).logits
            first = read.logits.repeat_interleave(choice_count, dim=0)
            likelihood = _log_likelihood(torch.cat([first, logits[:, :-1]], dim=1), ids)
            scores.append(((likelihood * mask).sum(1) / mask.sum(1)).view(-1, choice_count).cpu())
    return torch.cat(scores)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text).input_ids


def padded(sequences: Sequence[Sequence[int]], side: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and their mask, both (batch, longest); the padding is masked, so any id will do.

    Args:
        sequences: Token ids of each text.
        side: ``"left"`` or ``"right"``, where the shorter ones are filled up.
        device: Where the tensors go.

    Example:
        >>> ids, mask = padded([[5, 6], [7]], "left", torch.device("cpu"))
        >>> ids.tolist(), mask.tolist()
        ([[5, 6], [0, 7]], [[1, 1], [0, 1]])
    """
    tensors = [torch.tensor(sequence, dtype=torch.long) for sequence in sequences]
    ids = nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_side=side)
    ones = [torch.ones_like(tensor) for tensor in tensors]
    mask = nn.utils.rnn.pad_sequence(ones, batch_first=True, padding_side=side)
    return ids.to(device), mask.to(device)


def _log_likelihood(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-likelihood of each token: (batch, length, vocabulary), (batch, length) -> (batch, length)."""
    return logits.float().log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode without gradients; gives the model's device, and afterwards the mode back."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield next(model.parameters()).device
    finally:
        model.train(training)

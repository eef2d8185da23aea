"""Writing an answer as an environment of Gymnasium: a token is an action, and a rule pays at the end.

The state is the text so far, and a step appends a token to it: nothing is random but the policy. So the policy may be
any causal model whose tokenizer this is.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

Reward = Callable[[str, str], float]


class RewardError(ValueError):
    """A reward is no finite number, or could not be computed; the message says for which answer."""


class TextEnvironment(gymnasium.Env[NDArray[np.int64], np.int64]):
    """Continue a prompt token by token; the answer ends with the end token or at its limit, and is paid then.

    An observation is the row of token ids so far, filled up with -1. The limit is a part of the task, not a disturbance
    from outside: at the limit the answer is paid as it stands, and nothing follows. So it sets ``terminated``;
    ``info["cut"]`` tells it from an end token.

    Args:
        tokenizer: A tokenizer of Transformers, with an end token.
        prompts: Whole prompts; ``reset`` draws one.
        reward: Given the prompt and the answer, without special tokens, a finite number.
        max_new_tokens: Most tokens of an answer, the end token included.
        context: Most tokens of prompt and answer together; by default what the tokenizer says.

    Raises:
        ValueError: There is no prompt, one is empty, one leaves no room for an answer, or there is no end token.

    Example:
        >>> from llm_tutorial.models import load_tokenizer
        >>> tokenizer = load_tokenizer()
        >>> environment = TextEnvironment(tokenizer, ["2 + 2 ="], lambda prompt, answer: float("4" in answer), 8)
        >>> observation, info = environment.reset(seed=0)
        >>> for token in [*tokenizer(" 4").input_ids, tokenizer.eos_token_id]:
        ...     observation, reward, terminated, truncated, info = environment.step(token)
        >>> info["answer"], reward, terminated, truncated
        (' 4', 1.0, True, False)
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        tokenizer: Any,
        prompts: Sequence[str],
        reward: Reward,
        max_new_tokens: int = 24,
        context: int | None = None,
    ) -> None:
        self.tokenizer, self.prompts, self.reward = tokenizer, list(prompts), reward
        self.max_new_tokens, self.end = max_new_tokens, tokenizer.eos_token_id
        context = context or tokenizer.model_max_length
        if self.end is None:
            raise ValueError("the tokenizer has no end token\n分词器没有结束词元")
        if not self.prompts:
            raise ValueError("there are no prompts\n没有提示词")
        longest = max(len(self._ids(prompt)) for prompt in self.prompts)
        if longest + max_new_tokens > context:
            raise ValueError(
                f"a prompt of {longest} tokens and {max_new_tokens} of the answer are more than the context of {context}\n"
                f"提示词 {longest} 个词元，加上回答 {max_new_tokens} 个，超过了上下文长度 {context}"
            )
        self.observation_space = spaces.Box(-1, len(tokenizer) - 1, (longest + max_new_tokens,), np.int64)
        self.action_space = spaces.Discrete(len(tokenizer))
        self.ids: list[int] = []
        self.over = True

    def _ids(self, prompt: str) -> list[int]:
        ids: list[int] = self.tokenizer(prompt, add_special_tokens=False).input_ids
        if not ids:
            raise ValueError(f"the prompt {prompt!r} has no tokens\n提示词 {prompt!r} 没有词元")
        return ids

    def _observation(self) -> NDArray[np.int64]:
        row = np.full(self.observation_space.shape or (), -1, dtype=np.int64)
        row[: len(self.ids)] = self.ids
        return row

    def _info(self) -> dict[str, Any]:
        answer = self.ids[self.start :]
        text = self.tokenizer.decode(answer, skip_special_tokens=True)
        cut = len(answer) == self.max_new_tokens and answer[-1] != self.end
        return {"prompt": self.prompt, "answer": text, "cut": cut}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """Begins an answer.

        Args:
            seed: Seed of the prompts that this and later calls draw.
            options: ``{"prompt": number}`` takes that prompt instead.

        Returns:
            The observation, and ``prompt``, ``answer`` and ``cut``.
        """
        super().reset(seed=seed)
        drawn = self.np_random.integers(len(self.prompts))
        self.prompt = self.prompts[(options or {}).get("prompt", drawn)]
        self.ids, self.over = self._ids(self.prompt), False
        self.start = len(self.ids)
        return self._observation(), self._info()

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.int64], float, bool, bool, dict[str, Any]]:
        """Appends a token.

        Args:
            action: Its id.

        Returns:
            Observation, reward (0 before the end), ``terminated``, ``truncated`` (never), and what ``reset`` tells.

        Raises:
            ResetNeeded: The answer has ended.
            InvalidAction: There is no such token.
            RewardError: The reward is no finite number, or raised an error.
        """
        if self.over:
            raise gymnasium.error.ResetNeeded("the answer has ended: call reset\n回答已经结束：请调用 reset")
        if not 0 <= action < len(self.tokenizer):
            raise gymnasium.error.InvalidAction(f"there is no token {action}\n没有编号为 {action} 的词元")
        self.ids.append(int(action))
        self.over = action == self.end or len(self.ids) - self.start == self.max_new_tokens
        info = self._info()
        reward = checked_reward(self.reward, info["prompt"], info["answer"]) if self.over else 0.0
        return self._observation(), reward, bool(self.over), False, info


def checked_reward(reward: Reward, prompt: str, answer: str) -> float:
    """A reward that is a finite number, or an error that names the answer.

    Args:
        reward: Given prompt and answer, a number.
        prompt: What the model was given.
        answer: What it wrote.

    Raises:
        RewardError: The reward is no finite number, or raised an error.

    Example:
        >>> checked_reward(lambda prompt, answer: len(answer), "", "yes")
        3.0
        >>> checked_reward(lambda prompt, answer: float("nan"), "", "yes")
        Traceback (most recent call last):
        ...
        llm_tutorial.rl.text_environment.RewardError: the reward of 'yes' is nan: a reward must be a finite number
        'yes' 的奖励是 nan：奖励必须是有限的数
    """
    try:
        value = float(reward(prompt, answer))
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise RewardError(
            f"the reward of {answer!r} could not be computed ({said})\n{answer!r} 的奖励没能算出来（{said}）"
        ) from error
    if not math.isfinite(value):
        raise RewardError(
            f"the reward of {answer!r} is {value}: a reward must be a finite number\n"
            f"{answer!r} 的奖励是 {value}：奖励必须是有限的数"
        )
    return value


@dataclass(frozen=True)
class Answer:
    """A trajectory of a ``TextEnvironment``."""

    prompt: str
    text: str
    prompt_ids: list[int]
    ids: list[int]
    log_probs: list[float]  # of each token, under the policy that wrote it
    reward: float
    cut: bool


@torch.no_grad()
def write(model: nn.Module, environment: TextEnvironment, temperature: float = 1.0, seed: int | None = None) -> Answer:
    """Lets a causal model act until the answer ends, reading each token once.

    Args:
        model: A causal language model of Transformers; tokens are drawn with torch's random numbers.
        environment: Where it acts.
        temperature: Of the policy that writes.
        seed: Seed of the environment's prompts.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> rule = lambda prompt, answer: float("Paris" in answer)
        >>> environment = TextEnvironment(load_tokenizer(), ["The capital of France is"], rule, max_new_tokens=2)
        >>> answer = write(load_model(), environment)
        >>> len(answer.ids), len(answer.log_probs)
        (2, 2)
    """
    device = next(model.parameters()).device
    observation, _ = environment.reset(seed=seed)
    prompt_ids = observation[observation >= 0].tolist()
    unread, cache, ids, log_probs, over = prompt_ids, None, [], [], False
    while not over:
        output = model(torch.tensor([unread], device=device), past_key_values=cache, use_cache=True)
        cache, scores = output.past_key_values, (output.logits[0, -1].float() / temperature).log_softmax(-1)
        token = int(scores.exp().multinomial(1))
        _, reward, over, _, info = environment.step(token)
        ids.append(token)
        log_probs.append(scores[token].item())
        unread = [token]
    return Answer(info["prompt"], info["answer"], prompt_ids, ids, log_probs, reward, info["cut"])


def answer_log_probs(model: nn.Module, prompt_ids: Sequence[int], ids: Sequence[int]) -> Tensor:
    """Log-probability of each token of an answer, with gradients: (tokens,).

    Args:
        model: A causal language model of Transformers.
        prompt_ids: What it was given.
        ids: What was written.

    Raises:
        ValueError: There is no prompt, so that nothing says how probable the first token is.

    Example:
        >>> from llm_tutorial.models import load_model, load_tokenizer
        >>> tokenizer = load_tokenizer()
        >>> ids = [tokenizer(text).input_ids for text in ("The capital of France is", " Paris")]
        >>> answer_log_probs(load_model(), *ids).exp().item() > 0.5
        True
    """
    if not len(prompt_ids):
        raise ValueError("the prompt has no tokens\n提示词没有词元")
    device = next(model.parameters()).device
    logits = model(torch.tensor([[*prompt_ids, *ids]], device=device)).logits[0, len(prompt_ids) - 1 : -1]
    return logits.float().log_softmax(-1).gather(1, torch.tensor(list(ids), device=device)[:, None])[:, 0]

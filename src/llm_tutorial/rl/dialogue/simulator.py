"""Many dialogues side by side: users with a goal and an agenda, the channel, and the system's belief.

The user is agenda-based (Schatzmann et al., 2007): what there is to say lies on a stack in random order, an open
question takes from its top, a question for a slot takes that slot, and a no puts the correction on top. Each turn
costs patience, a useless question twice as much, and a user without patience hangs up.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_tutorial.rl.dialogue.belief import NOTHING, RIGHT, WRONG, hear_answer, hear_values, no_belief
from llm_tutorial.rl.dialogue.domain import EXISTS, SIZES, SLOTS, Flags, Floats, Ints, confusion, timetable

OPEN, REQUEST, CONFIRM, SUMMARY, BOOK, HANG_UP = 0, 1, 5, 9, 10, 11  # an action for each slot after the 2nd and 3rd
ACTIONS = 12
MOST_TURNS = 20
FEATURES = ("belief", "certainty", "asked", "confirmed", "heard")  # of each slot in an observation
OBSERVATION = len(SLOTS) * len(FEATURES) + 8

CUMULATED = np.where(EXISTS[:, None], confusion().cumsum(-1), 2.0)
CUMULATED[np.arange(len(SLOTS)), :, np.array(SIZES) - 1] = 2.0  # rounding never leads beyond the last value


@dataclass(frozen=True)
class Users:
    """How users behave."""

    patience: tuple[int, int] = (8, 16)  # turns, drawn between both
    talk: float = 0.4  # probability of saying another thing unasked
    correct: float = 0.6  # probability that a no comes with the right value
    change: float = 0.0  # probability in each turn that the goal changes, once


@dataclass(frozen=True)
class Reward:
    """What the system is paid."""

    success: float = 20.0  # for a booking as the user wants it
    turn: float = 1.0  # what each turn costs
    confirmed: float = 0.0  # for each yes that was heard


class Dialogues:
    """A number of dialogues, each at its own turn.

    Args:
        count: How many.
        noise: Rate of recognition errors, or the range from which each dialogue draws its own.
        users: How they behave.
        reward: What is paid.
        seed: Of all that is drawn.
        remember: Whether a value that is heard adds to what was heard before; if not, it takes its place.
        told: The rate of errors that belief and policy are told; the true one by default.
        corrections: Whether the belief knows that users correct what is wrong: a value that comes with an answer says
            that the answer was a no.

    Raises:
        ValueError: The noise is no probability below 1, or the patience no range of turns.

    Example:
        >>> dialogues = Dialogues(2, noise=0.0, seed=0)
        >>> rewards, terminated, truncated = dialogues.step(np.array([OPEN, HANG_UP]))
        >>> rewards.tolist(), terminated.tolist(), truncated.tolist()
        ([-1.0, -1.0], [False, True], [False, False])
    """

    def __init__(
        self,
        count: int,
        noise: float | tuple[float, float] = (0.0, 0.4),
        users: Users | None = None,
        reward: Reward | None = None,
        seed: int | None = None,
        remember: bool = True,
        corrections: bool = True,
        told: float | None = None,
    ) -> None:
        self.remember, self.corrections, self.assumed = remember, corrections, told
        self.low, self.high = noise if isinstance(noise, tuple) else (noise, noise)
        self.users, self.reward = users or Users(), reward or Reward()
        if not 0 <= self.low <= self.high < 1:
            raise ValueError(
                f"noise {noise}: expected a probability below 1, or two of them in order\n"
                f"噪声 {noise}：应当是小于 1 的概率，或由小到大的两个概率"
            )
        if not 0 < self.users.patience[0] <= self.users.patience[1]:
            raise ValueError(
                f"patience {self.users.patience}: expected two numbers of turns in order\n"
                f"耐心 {self.users.patience}：应当是由小到大的两个轮数"
            )
        self.count, self.rng = count, np.random.default_rng(seed)
        self.trains = np.argwhere(timetable())  # (trains, slots)
        self.goal = np.zeros((count, len(SLOTS)), dtype=np.int64)
        self.agenda = np.zeros((count, len(SLOTS)))  # least on top
        self.told, self.agreed, self.confirmed = (np.zeros((count, len(SLOTS)), dtype=bool) for _ in range(3))
        self.asked, self.times_heard = (np.zeros((count, len(SLOTS))) for _ in range(2))
        self.patience, self.turn = (np.zeros(count, dtype=np.int64) for _ in range(2))
        self.noise, self.last = np.zeros(count), np.zeros(count, dtype=np.int64)
        self.changed, self.success, self.hung_up = (np.zeros(count, dtype=bool) for _ in range(3))
        self.belief = no_belief(count)
        self.reset(np.ones(count, dtype=bool))

    def reset(self, which: Flags) -> None:
        """New users for some of the dialogues.

        Args:
            which: (dialogues,).
        """
        many = int(which.sum())
        self.goal[which] = self.trains[self.rng.integers(len(self.trains), size=many)]
        self.agenda[which] = self.rng.random((many, len(SLOTS)))
        self.patience[which] = self.rng.integers(self.users.patience[0], self.users.patience[1] + 1, size=many)
        self.noise[which] = self.rng.uniform(self.low, self.high, size=many)
        self.belief[which] = no_belief(many)
        for field in (
            self.told, self.agreed, self.confirmed, self.asked, self.times_heard, self.turn, self.last, self.changed,
            self.success, self.hung_up,
        ):  # fmt: skip
            field[which] = 0

    def keep(self, which: Flags) -> None:
        """Goes on with some of the dialogues only.

        Args:
            which: (dialogues,).
        """
        for name, field in vars(self).items():
            if isinstance(field, np.ndarray) and name != "trains":
                setattr(self, name, field[which])
        self.count = int(which.sum())

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats, Flags, Flags]:
        """One turn of the system and the user's answer.

        Args:
            actions: (dialogues,), each below ``ACTIONS``.

        Returns:
            Rewards, ``terminated`` and ``truncated``, (dialogues,) each.
        """
        best, self.turn = self.belief.argmax(-1), self.turn + 1
        requested = actions[:, None] == REQUEST + np.arange(len(SLOTS))
        in_question = actions[:, None] == CONFIRM + np.arange(len(SLOTS))
        in_question |= (actions == SUMMARY)[:, None]
        self.best, self.in_question = best, in_question  # for transcripts
        self.said, self.answer = self._reply(actions, best, requested, in_question)
        self.heard, self.confidence, self.heard_answer = self._hear(self.said, self.answer)
        noise = self.noise if self.assumed is None else np.full(self.count, self.assumed)
        came = in_question & (self.heard != NOTHING) if self.corrections else None
        self.belief = hear_answer(self.belief, in_question, self.heard_answer, noise, came)
        if not self.remember:
            self.belief = np.where((self.heard != NOTHING)[..., None], no_belief(self.count), self.belief)
        self.belief = hear_values(self.belief, self.heard, self.confidence, noise)
        yes = self.heard_answer == 1
        self.confirmed = (self.confirmed | (in_question & yes[:, None])) & ~(
            in_question & (self.heard_answer == 0)[:, None]
        )
        self.asked += requested | in_question
        self.times_heard += self.heard != NOTHING
        self.last = np.where(
            self.heard_answer != NOTHING, 1 + self.heard_answer, np.where((self.heard != NOTHING).any(1), 3, 0)
        )

        booked = (actions == BOOK) & timetable()[tuple(best.T)]  # what does not run cannot be booked
        self.success = booked & (best == self.goal).all(1)
        over = booked | (actions == HANG_UP)
        self.hung_up = ~over & (self.patience < 0)
        terminated = over | self.hung_up
        truncated = ~terminated & (self.turn >= MOST_TURNS)
        rewards = self.reward.success * self.success + self.reward.confirmed * yes - self.reward.turn
        return rewards, terminated, truncated

    def _reply(
        self, actions: NDArray[np.int64], best: Ints, requested: Flags, in_question: Flags
    ) -> tuple[Flags, Ints]:
        """The user's turn: which slots' values are said, (dialogues, slots), and the answer, (dialogues,)."""
        opened = actions == OPEN
        empty = opened & self.told.all(1)
        useless = empty | (requested & self.told).any(1)
        useless |= in_question.any(1) & (self.agreed | ~in_question).all(1)
        self.patience = self.patience - 1 - useless
        self.told &= ~empty[:, None]  # asked again, the user says it all again

        talk = self.rng.random((self.count, len(SLOTS))) < self.users.talk
        said = requested.copy()
        place = np.argsort(np.argsort(np.where(self.told | said, 9.0, self.agenda), axis=1), axis=1)
        more = np.cumprod(np.concatenate([opened[:, None] | talk[:, :1], talk[:, 1:]], axis=1), axis=1).sum(1)
        more = np.where(opened, more, np.minimum(more, 1) * requested.any(1))
        said |= (place < more[:, None]) & ~self.told

        right = best == self.goal
        answer = np.where(in_question.any(1), (right | ~in_question).all(1), NOTHING)
        wrong = in_question & ~right
        correction = wrong & (np.arange(len(SLOTS)) == wrong.argmax(1)[:, None])
        said |= correction & (self.rng.random(self.count) < self.users.correct)[:, None]
        self.agreed |= in_question & (answer == 1)[:, None]
        if self.users.change:
            said |= self._change_goal(actions < BOOK)
        self.told |= said
        return said, answer

    def _change_goal(self, may: Flags) -> Flags:
        """Once, some users want another value after their first turn, and say so: (dialogues, slots)."""
        now = may & ~self.changed & (self.turn > 1) & (self.rng.random(self.count) < self.users.change)
        slot = self.rng.integers(len(SLOTS), size=self.count)
        for each in np.flatnonzero(now):
            goal = self.goal[each].copy()
            index: list[int | slice] = [int(value) for value in goal]
            index[slot[each]] = slice(None)
            others = np.flatnonzero(timetable()[tuple(index)])
            others = others[others != goal[slot[each]]]
            if len(others):
                self.goal[each, slot[each]] = self.rng.choice(others)
                self.agreed[each, slot[each]] = False
                self.changed[each] = True
            else:
                now[each] = False
        return now[:, None] & (np.arange(len(SLOTS)) == slot[:, None])

    def _hear(self, said: Flags, answer: Ints) -> tuple[Ints, Floats, Ints]:
        """What comes out of the channel: values and confidences, (dialogues, slots), and the answer."""
        wrong = self.rng.random(said.shape) < self.noise[:, None]
        chances = CUMULATED[np.arange(len(SLOTS)), self.goal]  # (dialogues, slots, values)
        misheard = (self.rng.random(said.shape)[..., None] > chances).sum(-1)
        heard = np.where(said, np.where(wrong, misheard, self.goal), NOTHING)
        shapes = [np.where(wrong, low, high) for high, low in zip(RIGHT, WRONG, strict=True)]
        confidence = self.rng.beta(*shapes).clip(0.02, 0.98)
        swapped = self.rng.random(self.count) < self.noise / 2
        return heard, confidence, np.where((answer != NOTHING) & swapped, 1 - answer, answer)

    def observation(self) -> NDArray[np.float32]:
        """What a policy sees, numbers from 0 to 1: (dialogues, ``OBSERVATION``).

        For each slot ``FEATURES``: the largest belief; its certainty, minus the logarithm of what is missing to 1;
        how often it was asked for; whether a yes was heard to it; how often it was heard. Then the turn, the noise,
        whether the likeliest train runs, the product of the largest beliefs, and the kind of the last answer.
        """
        top = self.belief.max(-1)
        certainty = -np.log10(np.maximum(1 - top, 1e-4)) / 4
        slots = np.stack([top, certainty, self.asked / 4, self.confirmed, self.times_heard / 4], axis=-1)
        runs = timetable()[tuple(self.belief.argmax(-1).T)]
        noise = self.noise if self.assumed is None else np.full(self.count, self.assumed)
        rest = np.stack([self.turn / MOST_TURNS, noise, runs, top.prod(1)], axis=-1)
        kind = np.eye(4)[self.last]
        whole = np.concatenate([slots.reshape(self.count, -1), rest, kind], axis=1)
        result: NDArray[np.float32] = whole.clip(0, 1).astype(np.float32)
        return result

"""The dialogue as environments of Gymnasium: one dialogue, and many side by side."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from llm_tutorial.rl.dialogue.simulator import ACTIONS, OBSERVATION, Dialogues, Reward, Users

Observation = NDArray[np.float32]
Noise = float | tuple[float, float]
SPACE = spaces.Box(0.0, 1.0, (OBSERVATION,), np.float32)


class DialogueEnvironment(gymnasium.Env[Observation, np.int64]):
    """One dialogue. It ends (``terminated``) with a booking or when one side hangs up; after 20 turns it is cut.

    Args:
        noise: Rate of recognition errors, or the range to draw it from.
        users: How users behave.
        reward: What is paid.

    Example:
        >>> from gymnasium.utils.env_checker import check_env
        >>> check_env(DialogueEnvironment(), skip_render_check=True)
        >>> environment = DialogueEnvironment(noise=0.0)
        >>> observation, info = environment.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = environment.step(10)  # books the first train it can
        >>> info["success"]
        False
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, noise: Noise = (0.0, 0.4), users: Users | None = None, reward: Reward | None = None) -> None:
        self.options = noise, users, reward
        self.observation_space, self.action_space = SPACE, spaces.Discrete(ACTIONS)
        self.dialogues: Dialogues | None = None
        self.over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """A new user.

        Args:
            seed: Of this user and of those after.
            options: None are known.

        Returns:
            The observation, and an ``info`` that is empty yet.
        """
        super().reset(seed=seed)
        self.dialogues = Dialogues(1, *self.options, seed=int(self.np_random.integers(2**63)))
        self.over = False
        return self.dialogues.observation()[0], {}

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One turn of the system and the user's answer.

        Args:
            action: Below ``ACTIONS``.

        Returns:
            Observation, reward, ``terminated``, ``truncated``, and ``success`` and ``turns``.

        Raises:
            ResetNeeded: The dialogue is over.
            InvalidAction: There is no such action.
        """
        if self.over or self.dialogues is None:
            raise gymnasium.error.ResetNeeded("the dialogue is over: call reset\n对话已经结束：请调用 reset")
        if not 0 <= action < ACTIONS:
            raise gymnasium.error.InvalidAction(f"there is no action {action}\n没有编号为 {action} 的动作")
        reward, terminated, truncated = self.dialogues.step(np.array([action]))
        self.over = bool(terminated[0] or truncated[0])
        info = {"success": bool(self.dialogues.success[0]), "turns": int(self.dialogues.turn[0])}
        return self.dialogues.observation()[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info


class DialogueVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """Many dialogues side by side, one call of NumPy for all; a dialogue that is over starts anew in the next step.

    Args:
        num_envs: How many.
        noise: Rate of recognition errors, or the range from which each dialogue draws its own.
        users: How users behave.
        reward: What is paid.
        remember: As ``Dialogues`` has it.

    Example:
        >>> from llm_tutorial.rl.rollout import Agent, Collector
        >>> envs = DialogueVectorEnv(8)
        >>> rollout = Collector(envs, seed=0).steps(Agent(OBSERVATION, ACTIONS), 5)
        >>> rollout.observations.shape == (5, 8, OBSERVATION)
        True
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int,
        noise: Noise = (0.0, 0.4),
        users: Users | None = None,
        reward: Reward | None = None,
        remember: bool = True,
    ) -> None:
        self.num_envs, self.options, self.remember = num_envs, (noise, users, reward), remember
        self.single_observation_space, self.single_action_space = SPACE, spaces.Discrete(ACTIONS)
        self.observation_space = gymnasium.vector.utils.batch_space(SPACE, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.dialogues = Dialogues(num_envs, *self.options, remember=remember)
        self.over = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """New users for all.

        Args:
            seed: One number; without it the users go on being drawn.
            options: None are known.
        """
        if seed is not None:
            first = seed[0] if isinstance(seed, list) else seed
            self.dialogues = Dialogues(self.num_envs, *self.options, seed=first, remember=self.remember)
        else:
            self.dialogues.reset(np.ones(self.num_envs, dtype=bool))
        self.over = np.zeros(self.num_envs, dtype=bool)
        return self.dialogues.observation(), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One turn of every dialogue; those that were over start anew, and their action goes nowhere.

        Args:
            actions: (dialogues,).
        """
        before = self.over
        rewards, terminated, truncated = self.dialogues.step(actions)
        if before.any():
            self.dialogues.reset(before)
        rewards, terminated, truncated = rewards * ~before, terminated & ~before, truncated & ~before
        self.over = terminated | truncated
        return self.dialogues.observation(), rewards, terminated, truncated, {}

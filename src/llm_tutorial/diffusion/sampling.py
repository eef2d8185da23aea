"""What all samplers share: the loop, what a prediction says of the clean sample, and a network that knows its data."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from llm_tutorial.diffusion.losses import Prediction, convert, sample_and_noise
from llm_tutorial.diffusion.mixture import Mixture
from llm_tutorial.diffusion.schedule import Schedule
from llm_tutorial.diffusion.spacing import Final, levels

Network = Callable[[Tensor, Tensor], Tensor]


class Sampler:
    """Timesteps and their levels; a subclass says how one step is done.

    Args:
        schedule: That of the training.
        timesteps: To visit, from the noisiest on, as ``spaced_timesteps`` gives them.
        kind: What the network predicts.
        final: Where the last step ends.

    Attributes:
        timesteps: As given.
        signal: At each timestep and at the end of the last step, ``a`` on the page.
        noise: Likewise, ``sigma`` on the page.

    Raises:
        ValueError: Impossible timesteps, an unknown prediction or end, or a prediction of the noise where there is
            nothing but noise.
    """

    def __init__(
        self, schedule: Schedule, timesteps: Sequence[int], kind: Prediction = "epsilon", final: Final = "zero"
    ) -> None:
        self.schedule, self.timesteps, self.kind = schedule, list(timesteps), kind
        self.signal, self.noise = levels(schedule, timesteps, final)
        if kind == "epsilon" and self.signal[0] == 0:
            raise ValueError(
                f"at timestep {timesteps[0]} nothing of the sample is left (zero terminal SNR): a prediction of the "
                "noise says nothing about it; the network must predict v_prediction or sample\n"
                f"时间步 {timesteps[0]} 上样本已经不剩什么（零终端信噪比），对噪声的预测说明不了样本是什么；"
                "网络应预测 v_prediction 或 sample"
            )

    def step(self, prediction: Tensor, place: int, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """From one timestep to the next.

        Args:
            prediction: The network's for ``x``, of its shape.
            place: Which of the timesteps, from 0.
            x: The noisy sample there, (batch, …).
            generator: Of the noise, for samplers that add some.

        Raises:
            ValueError: Prediction and sample differ in shape, or the place is none of the timesteps'.
        """
        raise NotImplementedError

    def guess(self, prediction: Tensor, place: int, x: Tensor) -> Tensor:
        """The clean sample that a prediction stands for."""
        if prediction.shape != x.shape:
            raise ValueError(
                f"the prediction has the shape {tuple(prediction.shape)}, the sample {tuple(x.shape)} (a network that "
                "learned its variances gives twice the channels: keep the first half)\n"
                f"预测的形状是 {tuple(prediction.shape)}，样本的形状是 {tuple(x.shape)}"
                "（学了方差的网络给出两倍的通道：只留前一半）"
            )
        if not 0 <= place < len(self.timesteps):
            raise ValueError(
                f"there are {len(self.timesteps)} steps, counted from 0; {place} is none of them\n"
                f"共 {len(self.timesteps)} 步，从 0 数起；没有第 {place} 步"
            )
        sample, _ = sample_and_noise(self.kind, prediction, x, torch.tensor([self.timesteps[place]]), self.schedule)
        return sample


def path(
    network: Network, sampler: Sampler, start: Tensor, generator: torch.Generator | None = None
) -> Iterator[Tensor]:
    """Every sample on the way from the noise, the start first.

    Args:
        network: Given noisy samples and their timestep, (), predicts.
        sampler: Does the steps.
        start: Noise, (batch, …).
        generator: Of further noise.
    """
    yield start
    for place, timestep in enumerate(sampler.timesteps):
        start = sampler.step(network(start, torch.tensor(timestep)), place, start, generator)
        yield start


@torch.no_grad()
def generate(network: Network, sampler: Sampler, start: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The end of the path, of the shape of ``start``.

    Args:
        network: Given noisy samples and their timestep, (), predicts.
        sampler: Does the steps.
        start: Noise, (batch, …).
        generator: Of further noise.

    Example:
        >>> from llm_tutorial.diffusion.ddim import DDIM
        >>> from llm_tutorial.diffusion.mixture import three_islands
        >>> from llm_tutorial.diffusion.schedule import make_schedule
        >>> schedule = make_schedule("linear", 1000, 1e-4, 0.02)
        >>> network = perfect_network(three_islands(), schedule)
        >>> noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> points = generate(network, DDIM(schedule, range(999, -1, -50)), noise)
        >>> bool(three_islands().log_density(points).mean() > -2)
        True
    """
    x = start
    for reached in path(network, sampler, start, generator):
        x = reached
    return x


def perfect_network(data: Mixture, schedule: Schedule, kind: Prediction = "epsilon") -> Network:
    """A network that knows the data: its guess of the clean sample is the best there is, at every timestep.

    Args:
        data: Whose points it denoises.
        schedule: Of the forward process.
        kind: What it predicts.
    """

    def network(x: Tensor, timestep: Tensor) -> Tensor:
        at = timestep.reshape(1)
        wide = x.double()  # as no network would be: its errors shall not be those of rounding
        guess = data.denoise(wide, schedule.signal(at), schedule.noise(at))
        return convert("sample", kind, guess, wide, at, schedule).to(x.dtype)

    return network

import pytest
import torch
from torch import nn

from llm_tutorial.saved_state import StateError
from llm_tutorial.training import fit, linear_decay

STEPS, STOPPED = 20, 13


class StoppedError(Exception):
    pass


def summed_error(model, batch, device=None):
    x, y = (torch.stack(part) for part in zip(*batch, strict=True))
    return (model(x) - y).square().sum()


def norm():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


def train(state=None, stop=None, steps=STEPS, lr=0.05, seed=0, scheduled=True, make=norm):
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)

    def batch_at(step):
        if step == stop:
            raise StoppedError
        generator = torch.Generator().manual_seed(step)
        return [(torch.randn(4, generator=generator), torch.randn(1, generator=generator)) for _ in range(8)]

    scheduler = linear_decay(optimizer, steps) if scheduled else None
    losses = fit(
        model, batch_at, optimizer, steps, scheduler, state, seed, save_every=5, loss_of=summed_error, count=len
    )
    return losses, model


@pytest.fixture
def state(tmp_path):
    """The state of a training that was stopped on its way."""
    with pytest.raises(StoppedError):
        train(tmp_path / "state", STOPPED)
    return tmp_path / "state"


def test_a_stopped_training_goes_on_to_the_same_weights_and_buffers(state):
    whole, model = train()
    losses, resumed = train(state)
    assert losses == whole
    for (name, one), other in zip(model.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("scheduled", [True, False])
def test_another_rate_starts_anew_and_says_so(tmp_path, capsys, scheduled):
    with pytest.raises(StoppedError):
        train(tmp_path / "state", STOPPED, scheduled=scheduled)
    losses, _ = train(tmp_path / "state", lr=1e-3, scheduled=scheduled)
    assert losses == train(lr=1e-3, scheduled=scheduled)[0]
    assert "another optimizer: starting anew" in (said := capsys.readouterr().err)
    assert "从头开始" in said


def test_fewer_steps_give_as_many_losses(state):
    assert len(train(state, steps=5)[0]) == 5


def test_another_seed_starts_anew(state):
    assert train(state, seed=1)[0] == train(seed=1)[0]


def test_another_width_starts_anew(state):
    def wide():
        return nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 1))

    assert train(state, make=wide)[0] == train(make=wide)[0]


@pytest.mark.parametrize("content", [b"", b"{", b'{"losses": []}'])
def test_a_damaged_state_is_named_with_what_to_do(state, content):
    (state / "state.json").write_bytes(content)
    with pytest.raises(StateError, match=r"(?s)state .*is damaged .*remove it to start.*请删除它"):
        train(state)


@pytest.mark.parametrize("part", [0, 100])
def test_truncated_tensors_are_named_with_what_to_do(state, part):
    [file] = state.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:part])
    with pytest.raises(StateError, match=r"(?s)is damaged .*请删除它"):
        train(state)


def test_a_state_that_cannot_be_written_leaves_the_former_one(state, monkeypatch):
    from llm_tutorial import saved_state

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_state, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        train(state)
    monkeypatch.undo()
    assert train(state)[0] == train()[0]

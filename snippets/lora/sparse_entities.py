# %% setup
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.lora.encoder import gate_loss
from llm_tutorial.plotting import label_lines, panels, spread, use_style

use_style()


# %% hidden_markers
def texts(batch: int, seed: int, n: int = 128) -> tuple[Tensor, Tensor]:
    """Noise (5 … 49), and at 4 random places one marker (1 … 4), the answer."""
    pick = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 50, (batch, n), generator=pick)
    answer = torch.randint(0, 4, (batch,), generator=pick)
    places = torch.rand(batch, n, generator=pick).topk(4).indices
    return ids.scatter(1, places, (answer + 1)[:, None].expand(-1, 4)), answer


ids, answer = texts(1, seed=0)
at = (ids[0] < 5).nonzero()[:, 0].tolist()
print(f"markers at {at} of {ids.shape[1]} places; the answer is {answer.item()}")


# %% reader
class Reader(nn.Module):
    """A gate chooses 8 tokens; one query reads them and nothing else."""

    def __init__(self, gate: str = "soft", noise: bool = True, size: int = 32):
        super().__init__()
        self.kind, self.noise = gate, noise
        self.embedding, self.gate = nn.Embedding(50, size), nn.Linear(size, 1)
        self.query, self.value = nn.Parameter(torch.zeros(size)), nn.Linear(size, 4)

    def choose(self, x: Tensor) -> tuple[Tensor, Tensor]:
        score = self.gate(x)[..., 0]  # (batch, n)
        noisy = score
        if self.noise and self.training:
            noisy = score - torch.empty_like(score).exponential_().log()
        return noisy.topk(8).indices, score  # the choice itself has no gradient

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embedding(ids)  # (batch, n, size)
        chosen, score = self.choose(x)  # (batch, 8), (batch, n)
        log_gate = F.logsigmoid(score.gather(1, chosen))
        if self.kind == "hard":
            log_gate = torch.zeros_like(log_gate)
        elif self.kind == "straight-through":
            log_gate = log_gate - log_gate.detach()  # zero, but with a gradient
        read = x.take_along_dim(chosen[..., None], 1)  # (batch, 8, size)
        weights = (read @ self.query + log_gate).softmax(-1)
        return (weights[:, None] @ self.value(read))[:, 0], chosen


# %% gradient_of_the_gate
torch.manual_seed(0)
reader = Reader(noise=False).double()
with torch.no_grad():
    reader.query.normal_()
x = reader.embedding(ids).detach()
chosen, score = reader.choose(x)
score = score.detach().requires_grad_()
read = x.take_along_dim(chosen[..., None], 1)  # (1, 8, size)
log_gate = F.logsigmoid(score.gather(1, chosen))
P = (read @ reader.query + log_gate).softmax(-1)  # (1, 8)
out = (P[:, None] @ reader.value(read))[:, 0]  # (1, 4)
F.cross_entropy(out, answer).backward()

dO = out.softmax(-1) - F.one_hot(answer, 4)  # gradient of the cross-entropy
more = reader.value(read) - out[:, None]  # what each token says beyond the average
gain = (more * dO[:, None]).sum(-1)
by_hand = P * gain * torch.sigmoid(-score.gather(1, chosen))
assert torch.allclose(score.grad, torch.zeros_like(score).scatter(1, chosen, by_hand))

# %% gradient_of_the_gate_values values
print(f"tokens_with_a_gradient = {int((score.grad != 0).sum())}")


# %% train_reader
def train(gate: str, noise: bool, seed: int) -> tuple[Reader, list[float], float]:
    torch.manual_seed(seed)
    reader = Reader(gate, noise)
    optimizer = torch.optim.Adam(reader.parameters(), lr=1e-2)
    found = []
    test_ids, test_answer = texts(200, seed=10**6)
    for step in range(150):
        ids, answer = texts(64, seed=1000 * seed + step)
        F.cross_entropy(reader(ids)[0], answer).backward()
        if gate == "hard":
            assert reader.gate.weight.grad is None or not reader.gate.weight.grad.any()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 9:
            reader.eval()
            logits, chosen = reader(test_ids)
            markers = test_ids.gather(1, chosen) < 5  # (200, 8)
            found.append(markers.float().sum(1).mean().item() / 4)
            reader.train()
    accuracy = (logits.argmax(-1) == test_answer).float().mean().item()
    return reader.eval(), found, accuracy


gates = ("soft", "straight-through", "hard")
runs = {gate: [train(gate, True, seed) for seed in range(3)] for gate in gates}

# %% gates_compared differs="training amplifies the rounding of a processor"
figure, (axes,) = panels()
accuracies = {}
for gate, results in runs.items():
    _, found, accuracies[gate] = zip(*results, strict=True)
    spread(axes, range(10, 151, 10), found, label=gate)
    right = " ".join(f"{accuracy:.2f}" for accuracy in accuracies[gate])
    last = " ".join(f"{shares[-1]:.2f}" for shares in found)
    print(f"{gate:18} accuracy {right}   markers found {last}")
axes.set(xlabel="step", ylabel="markers found")
label_lines(axes)
plt.show()
assert min(*accuracies["soft"], *accuracies["straight-through"]) > 0.95
assert max(accuracies["hard"]) < 0.8

# %% what_the_task_needs differs="training amplifies the rounding of a processor"
for seed, (reader, *_) in enumerate(runs["soft"]):
    score = reader.gate(reader.embedding.weight)[:, 0]  # (50,)
    passed = [marker for marker in range(1, 5) if score[marker] > score[5:].max()]
    print(f"seed {seed}: above all noise are the markers {passed}")

# %% annotation
logits = torch.randn(1, 128, 4, requires_grad=True)  # no entity, and three types
types = torch.zeros(1, 128, dtype=torch.long)
types[0, ::32] = 1  # 4 entities among 128 tokens
each = F.cross_entropy(logits[0], types[0], reduction="none")
balanced = (each[types[0] > 0].mean() + each[types[0] == 0].mean()) / 2
assert torch.allclose(gate_loss(logits, types), balanced)
score = logits[..., 1:].logsumexp(-1) - logits[..., 0]  # log-odds of an entity
assert torch.allclose(torch.sigmoid(score), 1 - logits.softmax(-1)[..., 0])

# %% without_noise differs="training amplifies the rounding of a processor"
silent = [train("soft", noise=False, seed=seed) for seed in range(3)]
for seed, (reader, found, accuracy) in enumerate(silent):
    ids, _ = texts(200, seed=10**6)
    _, chosen = reader(ids)  # (200, 8)
    kinds = len(ids.gather(1, chosen).unique())
    results = f"accuracy {accuracy:.2f}, markers found {found[-1]:.2f}"
    print(f"seed {seed}: {results}, {kinds} of 49 characters are ever chosen")

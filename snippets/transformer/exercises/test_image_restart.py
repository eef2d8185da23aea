import pytest
import torch


def restarted(answer):
    torch.manual_seed(0)
    codebook, vectors = torch.randn(6, 3), 10 + torch.randn(12, 3)
    counts = torch.tensor([0.0, 5.0, 0.5, 1.0, 0.0, 3.0])
    before = codebook.clone(), counts.clone()
    new = answer.restart(codebook, counts, vectors, 1.0)
    return codebook, counts, vectors, before, new


def test_codes_in_use_stay(answer):
    codebook, _, _, (before, counts), (new, _) = restarted(answer)
    used = counts >= 1
    assert torch.equal(new[used], before[used]), pytest.say(
        "A code chosen at least `least` times must stay where it is.",
        "被选中至少 `least` 次的码应当留在原处。",
    )
    assert torch.equal(codebook, before), pytest.say(
        "The codebook that was passed in must not change: work on a copy.",
        "传进来的码本不应改变：请在副本上改。",
    )


def test_unused_codes_become_vectors(answer):
    *_, vectors, (_, counts), (new, _) = restarted(answer)
    distance = torch.cdist(new[counts < 1], vectors).amin(1)
    assert distance.max() < 1e-5, pytest.say(
        "Each unused code must lie on one of the vectors.",
        "每个没人用的码都应当落在某个向量上。",
    )
    assert len(new[counts < 1].unique(dim=0)) > 1, pytest.say(
        "Unused codes are drawn one by one, else they stay one code.",
        "没人用的码要各抽各的，不然还是同一个码。",
    )


def test_counts_start_at_the_mean(answer):
    *_, (_, before), (_, counts) = restarted(answer)
    want = torch.where(before < 1, 2.0, before)
    assert torch.equal(counts, want), pytest.say(
        f"12 vectors for 6 codes: a new code begins with a count of 2. Wanted "
        f"{want.tolist()}, got {counts.tolist()}.",
        f"12 个向量分给 6 个码：新的码从 2 开始计数。应为 {want.tolist()}，"
        f"得到 {counts.tolist()}。",
    )

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from llm_tutorial.transformer.block import BlockConfig, Transformer


def models(answer):
    torch.manual_seed(0)
    sizes = {"n_positions": 32, "n_embd": 24, "n_layer": 2, "n_head": 4}
    gpt2 = GPT2LMHeadModel(
        GPT2Config(vocab_size=50, activation_function="gelu", **sizes)
    ).eval()
    # biases are born as zeros, norms as ones: a swap would not show
    for parameter in gpt2.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    config = BlockConfig(50, 24, 2, 4, 4, 96, causal=True, norm_first=True, longest=32)
    own = Transformer(config).eval()
    wanted = {name: tuple(tensor.shape) for name, tensor in own.state_dict().items()}
    state = answer.gpt2_state(gpt2.state_dict())
    return gpt2, own, wanted, state


def test_every_name_has_its_place(answer):
    _, _, wanted, state = models(answer)
    missing, left = (
        sorted(wanted.keys() - state.keys()),
        sorted(state.keys() - wanted.keys()),
    )
    assert not missing and not left, pytest.say(
        f"Missing: {missing[:3]} …; without a place: {left[:3]} ….",
        f"缺少：{missing[:3]}……；没有去处的：{left[:3]}……。",
    )


def test_every_shape_fits(answer):
    _, _, wanted, state = models(answer)
    wrong = {
        name: (tuple(state[name].shape), shape)
        for name, shape in wanted.items()
        if name in state
    }
    wrong = {name: pair for name, pair in wrong.items() if pair[0] != pair[1]}
    assert not wrong, pytest.say(
        f"Shapes that do not fit (yours, wanted): {wrong}. "
        "GPT-2 stores linear weights as (in, out).",
        f"形状不合（你的、所要的）：{wrong}。GPT-2 的线性层权重存成（入，出）。",
    )


def test_the_logits_are_those_of_gpt2(answer):
    gpt2, own, _, state = models(answer)
    own.load_state_dict(state)
    ids = torch.randint(50, (2, 9))
    with torch.no_grad():
        ours, theirs = own.logits(own(ids)), gpt2(ids).logits
    assert torch.allclose(ours, theirs, atol=1e-4), pytest.say(
        f"Names and shapes fit, logits differ by {(ours - theirs).abs().max():.2f}: "
        "is a square matrix still untransposed, "
        "or are queries, keys and values in another order?",
        f"名称和形状都对上了，logits 却相差多达 {(ours - theirs).abs().max():.2f}："
        "是不是还有方阵没有转置，或者查询、键、值的次序不对？",
    )

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import LlamaConfig, LlamaForCausalLM

from llm_tutorial.lora.inject import add_lora, count_parameters
from llm_tutorial.lora.quantized import quantize_model
from llm_tutorial.memory import (
    activation_memory,
    block_activations,
    linear_shapes,
    lora_parameters,
    optimizer_bytes,
    saved_tensor_bytes,
    training_memory,
)

CONFIG = LlamaConfig(
    vocab_size=50,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
)


@pytest.mark.parametrize("rank", [None, 1, 8])
def test_formula_is_what_is_counted(rank):
    model = LlamaForCausalLM(CONFIG)
    if rank:
        add_lora(model, rank=rank)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    ids = torch.arange(10)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    count = count_parameters(model)
    memory = training_memory(count.total, count.trained)
    assert memory.weights == sum(p.nbytes for p in model.parameters())
    assert memory.gradients == sum(p.grad.nbytes for p in trained)
    assert memory.optimizer == optimizer_bytes(optimizer)


@pytest.mark.parametrize("rank", [1, 4])
def test_lora_parameters_by_shape_are_those_of_the_model(rank):
    model = add_lora(LlamaForCausalLM(CONFIG), rank=rank)
    shapes = linear_shapes(32, 64, heads=4, key_value_heads=2, head_dim=8)
    assert lora_parameters(shapes, layers=3, rank=rank) == count_parameters(model).trained


def test_counting_keeps_no_activation_alive():
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    outputs = []

    def forward():
        output = layer(x).softmax(-1)  # saves its own output
        outputs.append(StorageWeakRef(output.untyped_storage()))
        return output.sum()

    assert saved_tensor_bytes(layer, forward) == x.nbytes + 2 * 4 * 4
    assert outputs[0].expired()


def test_activations_grow_with_the_tokens():
    model = LlamaForCausalLM(CONFIG)
    short, long = (
        saved_tensor_bytes(model, lambda n=n: model(input_ids=torch.arange(n)[None] % 50, use_cache=False))
        for n in (16, 32)
    )
    assert 1.8 < long / short < 2.6


SHAPE = {"hidden": 64, "intermediate": 160, "heads": 4, "key_value_heads": 2, "head_dim": 16}
IDS = torch.arange(80).view(2, 40) % 50


def wide(layers: int, dtype: torch.dtype) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=64,
            intermediate_size=160,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    ).to(dtype)


def kept(model: nn.Module, mask: torch.Tensor | None = None) -> int:
    def loss() -> torch.Tensor:
        logits = model(input_ids=IDS, attention_mask=mask, use_cache=False).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), IDS.flatten())

    return saved_tensor_bytes(model, loss)


def embedding_only(model: nn.Module) -> nn.Module:
    model.requires_grad_(False)
    model.get_input_embeddings().requires_grad_(True)
    return model


METHODS = {
    "full": (None, lambda model: model),
    "LoRA": (4, lambda model: add_lora(model, rank=4)),
    "LoRA on 4-bit weights": (4, lambda model: add_lora(quantize_model(model), rank=4)),
    "gradient passes through": (0, embedding_only),
    "LoRA of PEFT": (4, lambda model: get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))),
}


@pytest.mark.parametrize(("dtype", "value_bytes"), [(torch.float32, 4), (torch.bfloat16, 2)])
@pytest.mark.parametrize("method", METHODS)
def test_a_block_keeps_what_the_formula_says_to_the_byte(method, dtype, value_bytes):
    rank, change = METHODS[method]
    two, three = (kept(change(wide(layers, dtype))) for layers in (2, 3))
    expected = IDS.numel() * block_activations(**SHAPE, rank=rank, value_bytes=value_bytes)
    if rank and "PEFT" not in method:  # LoRALinear's scaling * B
        expected += 4 * rank * sum(out for out, _ in linear_shapes(**SHAPE).values())
    assert three - two == expected


@pytest.mark.parametrize(("dtype", "value_bytes"), [(torch.float32, 4), (torch.bfloat16, 2)])
@pytest.mark.parametrize("method", ["full", "LoRA", "LoRA on 4-bit weights"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_model_keeps_nearly_what_the_formula_says(checkpointing, method, dtype, value_bytes):
    rank, change = METHODS[method]
    model = change(wide(8, dtype)).train()
    expected = activation_memory(
        SHAPE, 8, 50, IDS.numel(), IDS.numel(), rank=rank, value_bytes=value_bytes, checkpointing=checkpointing
    )
    if checkpointing:
        model.activation_checkpointing_enable()
    assert kept(model) == pytest.approx(expected, rel=0.05)


def test_a_block_is_recomputed_after_the_loss_has_given_its_part_back():
    model = add_lora(wide(2, torch.float32), rank=4).train()
    model.activation_checkpointing_enable()
    of_the_loss, expired = [], []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape == (IDS.numel(), 50):
            of_the_loss.append(StorageWeakRef(tensor.untyped_storage()))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = model(input_ids=IDS, use_cache=False).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), IDS.flatten())
    del logits
    look = lambda *_: expired.extend(ref.expired() for ref in of_the_loss)  # noqa: E731
    model.model.layers[1].mlp.register_forward_pre_hook(look)
    loss.backward()
    assert set(expired) == {True}


def test_mixed_precision_takes_as_much_as_float32_for_parameters():
    model = LlamaForCausalLM(CONFIG).to(torch.bfloat16)
    masters = [p.detach().float().requires_grad_() for p in model.parameters()]
    optimizer = torch.optim.AdamW(masters)
    ids = torch.arange(10)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    gradients = sum(p.grad.nbytes for p in model.parameters())
    for master, parameter in zip(masters, model.parameters(), strict=True):
        master.grad = parameter.grad.float()
    optimizer.step()
    count = count_parameters(model).total
    memory = training_memory(count, count, 2, 2, states=3, state_bytes=4)
    assert memory.weights == sum(p.nbytes for p in model.parameters())
    assert memory.gradients == gradients
    assert memory.optimizer == sum(p.nbytes for p in masters) + optimizer_bytes(optimizer)
    assert memory.total == training_memory(count, count).total


def test_a_mask_has_keys_and_values_repeated_to_all_heads():
    mask = torch.ones_like(IDS)
    mask[0, :5] = 0  # padding
    two, three = (kept(wide(layers, torch.float32), mask) for layers in (2, 3))
    in_float = 4 * IDS.numel() * IDS.shape[1]  # (batch, 1, query, key), made anew in each block
    assert three - two == IDS.numel() * block_activations(**SHAPE, repeated=True) + in_float


def test_float32_adapters_on_a_16_bit_base_keep_more_than_full_fine_tuning_does():
    full, mixed, same = (
        block_activations(**SHAPE, rank=rank, value_bytes=2, adapter_bytes=adapter_bytes)
        for rank, adapter_bytes in ((None, 2), (8, 4), (8, 2))
    )
    assert same < full < mixed

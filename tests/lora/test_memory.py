import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import LlamaConfig, LlamaForCausalLM

from llm_tutorial.lora import add_lora, count_parameters
from llm_tutorial.lora.memory import (
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

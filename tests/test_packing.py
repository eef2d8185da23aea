import torch

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.packing import answer_loss, encode, pack

PAIRS = {"two days →": "2天", "March 5, 2026 →": "2026年3月5日", "euro →": "欧元", "in 3 weeks →": "3周后"}


def test_packing_changes_no_loss():
    model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
    examples = [encode(tokenizer, prompt, answer) for prompt, answer in PAIRS.items()]
    with torch.no_grad():
        together = answer_loss(model, examples)
        apart = sum(answer_loss(model, [example]) for example in examples)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-3)


def test_logits_are_computed_for_the_answers_alone():
    tokenizer = load_tokenizer("smollm2-135m")
    examples = [encode(tokenizer, prompt, answer) for prompt, answer in PAIRS.items()]
    inputs, labels = pack(examples)
    assert len(inputs["logits_to_keep"]) == len(labels) == sum(len(e.input_ids) - e.answer_from for e in examples)

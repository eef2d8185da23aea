import torch

from llm_tutorial.data.cldr import SPLITS, cldr_pairs
from llm_tutorial.generation import greedy_answers
from llm_tutorial.lora.inject import add_lora
from llm_tutorial.lora.task import batches, exact_match, prompt, validation_pairs
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.training import fit


def test_no_expression_is_both_trained_and_held_out():
    trained = {pair.english for pair in cldr_pairs(8000)}
    for seed in range(3):
        assert not trained & {pair.english for pair in cldr_pairs(1000, "held_out", seed)}


def test_validation_and_test_share_no_pair():
    assert not set(validation_pairs()) & set(cldr_pairs(200, "held_out"))


def test_every_split_draws_the_same_pairs_twice():
    for split in SPLITS:
        assert cldr_pairs(20, split) == cldr_pairs(20, split)


def test_exact_match_in_one_pass_is_what_greedy_decoding_says():
    model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
    pairs = cldr_pairs(4)
    torch.manual_seed(0)
    add_lora(model, rank=4, alpha=16)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=4e-3)
    fit(model, batches(tokenizer, pairs), optimizer, steps=12)
    said = greedy_answers(model, tokenizer, [prompt(pair.english) for pair in pairs])
    right = sum(a == pair.chinese for a, pair in zip(said, pairs, strict=True))
    assert right > 0
    assert exact_match(model, tokenizer, pairs) == 100 * right / len(pairs)

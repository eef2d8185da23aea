"""The solution of exercise practice_rule stands in for the learned gate on page `practice`."""

import importlib.util
from pathlib import Path

from llm_tutorial.data.people_daily import Document, Entity
from llm_tutorial.lora.encoder import RelationSparseConfig
from llm_tutorial.lora.tagging import loss_of, read, relation_settings, tag
from llm_tutorial.tokenizers import character_tokenizer

SOLUTION = Path(__file__).parents[2] / "snippets/lora/exercises/solutions/practice_rule.py"


def test_entities_by_rule_train_and_read_like_the_other_models_of_the_comparison():
    spec = importlib.util.spec_from_file_location("rule", SOLUTION)
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    document = Document(
        "李鹏会见江泽民。晚上，江泽民回京。", (Entity(0, 2, "PER"), Entity(4, 7, "PER"), Entity(11, 14, "PER"))
    )
    tokenizer = character_tokenizer([document.text], at_least=1)
    examples = tag([document], tokenizer)
    settings = relation_settings(tokenizer)
    idf = rule.inverse_document_frequency(examples, settings["vocab_size"])
    model = rule.EntitiesByRule(
        RelationSparseConfig(**settings, hidden_size=16, num_hidden_layers=2, num_entities=8), idf
    )
    loss_of(model, examples).backward()
    assert model.encoder.layers[1].attention.relation_key.grad.abs().sum() > 0
    assert [place for place in read(model, examples)[0].chosen if place >= 0] == [4, 5, 11, 12]

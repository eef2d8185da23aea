import pytest
import torch
from transformers import LogitsProcessorList, MarianConfig, MarianMTModel

END, LONGEST = 1, 12


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = MarianConfig(
        vocab_size=12,
        encoder_layers=1,
        decoder_layers=1,
        pad_token_id=0,
        eos_token_id=END,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
        init_std=1.0,
        **sizes,
        **heads,
    )
    return MarianMTModel(config).eval()


def written(model, answer, term, beams):
    source = torch.randint(2, 12, (6, 5), generator=torch.Generator().manual_seed(1))
    allow = answer.Glossary(term, END, LONGEST)
    rows = model.generate(
        source,
        num_beams=beams,
        max_length=LONGEST,
        do_sample=False,
        logits_processor=LogitsProcessorList([allow]),
    )
    return [row[1:] for row in rows.tolist()]


@pytest.mark.parametrize("term", [[7], [5, 6, 5, 7]])
@pytest.mark.parametrize("beams", [1, 3])
def test_every_translation_has_the_term(answer, model, term, beams):
    for row in written(model, answer, term, beams):
        text = ",".join(map(str, row))
        assert ",".join(map(str, term)) in text, pytest.say(
            f"The term {term} is missing in {row}: was it written before the room "
            "ran out?",
            f"译文 {row} 里没有译名 {term}：地方用完之前，写它了吗？",
        )


# what a model would like to write, one token a step; it gives a term up half-way
WISHES = [[0, 4, 4, 4, 4, 4, 5, 6, 4, 4, 4, 4], [0, 5, 4, 5, 6, 4, 5, 6, 5, 4, 5, 4]]


@pytest.mark.parametrize("term", [[7], [5, 6], [5, 6, 5, 7]])
@pytest.mark.parametrize("wishes", WISHES)
def test_a_term_that_was_given_up_still_fits(answer, wishes, term):
    allow, row = answer.Glossary(term, END, LONGEST), [0]
    while row[-1] != END and len(row) < LONGEST:
        scores = torch.zeros(1, 12)
        scores[0, wishes[len(row)]] = 1.0
        row.append(int(allow(torch.tensor([row]), scores)[0].argmax()))
    text = ",".join(map(str, row))
    assert ",".join(map(str, term)) in text, pytest.say(
        f"The model began the term {term}, left it, and there was no room to begin "
        f"again: {row}.",
        f"模型写了译名 {term} 的开头又改写别的，剩下的地方不够从头再写：{row}。",
    )
    assert ",".join(map(str, term)) in ",".join(map(str, row[:-1])), pytest.say(
        f"{row} has no room for its end: one place of max_length is the end token's.",
        f"{row} 没有给结束词元留地方：max_length 里有一格是它的。",
    )


def test_the_term_is_one_piece(answer):
    allow = answer.Glossary([5, 6], END, LONGEST)
    scores = allow(torch.tensor([[0, 6, 4, 5]]), torch.zeros(1, 12))
    assert scores[0, END] == -torch.inf, pytest.say(
        "6, 4, 5 has the tokens of the term [5, 6], not the term as one piece.",
        "6、4、5 里有译名 [5, 6] 的词元，却不是连着的一整段。",
    )


def test_a_translation_that_has_the_term_may_end(answer):
    allow = answer.Glossary([5, 6], END, LONGEST)
    scores = allow(torch.tensor([[0, 4, 5, 6, 8]]), torch.zeros(1, 12))
    assert scores[0, END] == 0, pytest.say(
        "The term stands already, so the end is allowed; you forbid it.",
        "译名已经写出，可以结束；你却不让它结束。",
    )


def test_before_the_term_anything_else_is_allowed(answer):
    allow = answer.Glossary([5, 6], END, LONGEST)
    scores = allow(torch.tensor([[0, 4]]), torch.zeros(1, 12))
    assert scores[0, END] == -torch.inf, pytest.say(
        "The term is missing, so there must be no end yet.",
        "还没有写出译名，不能结束。",
    )
    assert (scores[0] == 0).sum() == 11, pytest.say(
        "There is room enough: every token but the end is still allowed.",
        "地方还够：除了结束词元，别的词元都应当允许。",
    )

"""Search by words and meaning, quoting, and judges that half-right answers cannot fool."""

import math

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from llm_tutorial.data.documentation import Passage
from llm_tutorial.models import load_tokenizer
from llm_tutorial.transformer.grounded import (
    cited,
    contains,
    invented,
    names_of,
    refuses,
    unsupported,
    word_recall,
)
from llm_tutorial.transformer.quoting import PROMPTS, question_likelihood, quote, replies
from llm_tutorial.transformer.retrieval import (
    BM25,
    combine,
    corpus,
    embed,
    first_rank,
    fuse,
    merged,
    questions,
    ranked,
    searched,
    sentences,
    split,
    taken_out,
    terms,
)

TEXTS = ["the cat sat on the mat", "a dog and a dog", "dogs bark", "the sun"]


@pytest.fixture(scope="module")
def passages():
    return corpus()


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    return BertModel(config).eval(), load_tokenizer("minilm")


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    tokenizer = load_tokenizer()
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model, tokenizer


def by_hand(query, k1, b):
    """BM25 as its formula says, a word and a text at a time."""
    bags = [terms(text) for text in TEXTS]
    mean = sum(map(len, bags)) / len(bags)
    found = []
    for bag in bags:
        score = 0.0
        for word in set(terms(query)):
            n, f = sum(word in other for other in bags), bag.count(word)
            if not f:
                continue
            idf = math.log(1 + (len(bags) - n + 0.5) / (n + 0.5))
            score += idf * f * (k1 + 1) / (f + k1 * (1 - b + b * len(bag) / mean))
        found.append(score)
    return found


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.0, 0.0), (4.0, 1.0)])
def test_bm25_is_its_formula(k1, b):
    assert BM25(TEXTS, k1, b).scores("the dog, the dog").tolist() == pytest.approx(by_hand("the dog", k1, b))


def test_without_saturation_and_length_every_shared_word_counts_its_idf():
    scores = BM25(TEXTS, k1=0, b=0).scores("dog")
    assert scores[1] == pytest.approx(math.log(1 + 3.5 / 1.5))
    assert scores[0] == 0


def test_a_rarer_word_counts_more():
    index = BM25(TEXTS)
    assert index.scores("sun")[3] > index.scores("the")[3] > 0  # each once in this text; the other in two texts


def test_unknown_words_and_empty_questions_find_nothing_and_raise_nothing():
    index = BM25(TEXTS)
    assert not index.scores("zzz").any()
    assert index.search("") == [0, 1, 2, 3]


def test_chinese_words_are_characters():
    assert terms("查找 file_name 3.11") == ["查", "找", "file", "name", "3.11"]
    assert BM25(["关闭文件", "打开窗口"]).search("文件")[0] == 0


def test_an_index_needs_texts():
    with pytest.raises(ValueError, match="at least one text\n索引"):
        BM25([])


def test_embeddings_do_not_depend_on_neighbours_or_batches(encoder):
    alone = torch.cat([embed(*encoder, [text]) for text in TEXTS])
    torch.testing.assert_close(embed(*encoder, TEXTS), alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(embed(*encoder, TEXTS, batch_size=2), alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone.norm(dim=-1), torch.ones(4))


def test_embeddings_are_those_of_sixteen_bits_but_for_rounding(encoder):
    model, tokenizer = encoder
    exact = embed(model, tokenizer, TEXTS)
    rounded = BertModel(model.config)
    rounded.load_state_dict(model.state_dict())
    near = embed(rounded.bfloat16().eval(), tokenizer, TEXTS).float()
    assert (near * exact).sum(-1).min() > 0.99


def test_what_is_beyond_the_window_is_not_seen(encoder):
    text = "word " * 40
    one, other = embed(*encoder, [text + "cat", text + "dog"], max_length=20)
    assert torch.equal(one, other)
    one, other = embed(*encoder, [text + "cat", text + "dog"], max_length=64)
    assert not torch.equal(one, other)


def test_nothing_to_embed_is_refused(encoder):
    with pytest.raises(ValueError, match="no text to embed\n"):
        embed(*encoder, [])


def test_equal_scores_keep_the_order():
    assert ranked(torch.tensor([1.0, 2.0, 1.0, 2.0])) == [1, 3, 0, 2]


def test_fusion_of_a_ranking_with_itself_changes_nothing():
    assert fuse([[2, 0, 1], [2, 0, 1]]) == [2, 0, 1]


def test_a_small_constant_lets_first_places_win():
    rankings = [[0, 1, 2, 3, 4], [4, 1, 2, 3, 0]]  # 0 and 4: ranks 1 and 5; 1: twice 2
    assert fuse(rankings, c=0)[0] == 0
    assert fuse(rankings, c=60)[0] == 1


def test_fusion_by_rank_does_not_ask_for_scales_and_a_plain_sum_does():
    words, meaning = torch.tensor([30.0, 10.0, 0.0]), torch.tensor([0.1, 0.9, 0.8])
    pair = [ranked(words), ranked(meaning)]
    assert fuse(pair) == fuse([ranked(words * 100), ranked(meaning)])
    assert ranked(words + meaning)[0] == 0
    assert combine(words, meaning, 0.5)[0] == 1


def test_the_weight_of_scores_reaches_from_one_to_the_other():
    words, meaning = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([0.1, 0.3, 0.2])
    assert combine(words, meaning, 0) == ranked(words)
    assert combine(words, meaning, 1) == ranked(meaning)
    assert combine(torch.zeros(3), meaning, 0.5) == ranked(meaning)  # no shared word


def test_first_rank_counts_from_one_and_takes_the_best():
    assert first_rank([5, 3, 8], {8, 3}) == 2


def test_every_question_has_its_answer_in_its_passages(passages):
    texts = {passage.id: searched(passage) for passage in passages}
    asked = questions()
    assert len({question.question for question in asked}) == len(asked) == 244
    for question in asked:
        assert question.question.endswith("?")
        for name in question.passages:
            assert question.answer in texts[name]
            assert contains(texts[name], question.answer or "")


def test_sentences_taken_out_are_not_in_what_is_searched(passages):
    for each in taken_out(passages, 50):
        assert each.query in passages[each.place].text
        assert each.query not in each.rest
    held = [searched(passage) for passage in passages]
    assert sum(sum(each.query in text for text in held) > 1 for each in taken_out(passages, 300)) == 39
    assert taken_out(passages, 5) == taken_out(passages, 5) != taken_out(passages, 5, seed=1)


def test_chunks_lose_no_word(passages):
    few = passages[:40]
    for chunks in (split(few, 250), merged(few, 2000)):
        found = " ".join(chunk.text for chunk in chunks).split()
        assert set(" ".join(map(searched, few)).split()) == set(found)
        assert {place for chunk in chunks for place in chunk.places} == set(range(40))
    assert max(len(chunk.text) for chunk in merged(few, 2000)) <= 2000
    topics = [{few[place].topic for place in chunk.places} for chunk in merged(few, 2000)]
    assert all(len(topic) == 1 for topic in topics)


def test_a_sentence_longer_than_a_chunk_stays_whole():
    passage = Passage("f-0", "m", "f", "Short. " + "long " * 20 + ".")
    assert [chunk.text for chunk in split([passage], 30)][1].endswith("long .")


def test_sentences_end_at_marks_and_lines_not_inside_names():
    assert sentences("See os.path. It is 3.11: old.\n* one\n\n  two") == [
        "See os.path.",
        "It is 3.11: old.",
        "* one",
        "two",
    ]


def test_the_likelihood_is_the_products_of_the_next_tokens(decoder):
    model, tokenizer = decoder
    texts = ["f: Does it.", "g: Something much longer than that, to be padded."]
    found = question_likelihood(model, tokenizer, "What does it?", texts)
    for text, score in zip(texts, found, strict=True):
        before = tokenizer(f"{tokenizer.bos_token}{text}\n\nQuestion:").input_ids
        after = tokenizer(" What does it?").input_ids
        with torch.no_grad():
            p = model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].log_softmax(-1)
        assert score == pytest.approx(p[range(len(after)), after].sum().item(), abs=1e-3)


def test_the_quote_is_a_sentence_of_the_passage_it_names(decoder):
    read = ["f\nDoes it. Or not.", "g\nNever.\nAlways."]
    said = quote(*decoder, "What does it?", read)
    assert said.text in sentences(read[said.number - 1].partition("\n")[2])
    offered = ["f: Does it.", "f: Or not.", "g: Never.", "g: Always."]
    scores = question_likelihood(*decoder, "What does it?", offered)
    assert said.score == pytest.approx(scores.max().item(), abs=1e-3) != pytest.approx(scores.min().item(), abs=1e-3)
    assert offered[int(scores.argmax())].endswith(f": {said.text}")


def test_a_tokenizer_without_a_token_for_the_beginning_will_do(decoder):
    model, tokenizer = decoder
    bare = load_tokenizer()
    bare.bos_token = None
    (found,) = question_likelihood(model, bare, "Why?", ["f: Does it."])
    before, after = tokenizer("f: Does it.\n\nQuestion:").input_ids, tokenizer(" Why?").input_ids
    with torch.no_grad():
        p = model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].log_softmax(-1)
    assert found == pytest.approx(p[range(len(after)), after].sum().item(), abs=1e-3)


def test_there_must_be_something_to_quote(decoder):
    with pytest.raises(ValueError, match="no passage has a sentence to quote\n"):
        quote(*decoder, "What?", ["heading only"])


def test_replies_do_not_depend_on_batches(decoder):
    asked, read = (
        ["What does it?", "Why?", "Is it there, and where is it?"],
        [[], ["f\nDoes it."], ["g\nNo.", "h\nYes."]],
    )
    alone = [*map(lambda q, p: replies(*decoder, [q], [p], prompt="plain", max_new_tokens=2)[0], asked, read)]
    assert replies(*decoder, asked, read, prompt="plain", max_new_tokens=2) == alone


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompts_have_passages_and_the_question_last(prompt):
    messages = PROMPTS[prompt]("Why?", ["f\nDoes it.", "g\nNo."])
    last = messages[-1]["content"]
    assert last.index("[1] f") < last.index("[2] g") < last.index("Why?")
    assert "[1]" not in str(PROMPTS[prompt]("Why?", []))


def test_half_an_answer_is_not_contained_and_has_half_its_words():
    assert not contains("a list", "a list of names")
    assert word_recall("a list", "list names") == 0.5
    assert contains("It returns `None`.", "None")
    assert not contains("NoneType", "None")
    assert not contains("names of a list", "list of names")


def test_refusals_in_the_model_s_words_and_what_only_looks_like_one():
    said = [
        "Not in the documentation.",
        "The answer is not in the documentation.",
        "The passage does not say.",
        "The number is not available. [1]",
    ]
    assert all(map(refuses, said))
    assert not any(
        map(
            refuses, ["It does not return.", "The file is not found.", "not in place", "It is not available in Python."]
        )
    )


def test_what_no_text_supports_is_counted_and_what_one_does_is_not():
    assert unsupported("It returns a banana", ["it returns None"]) == 0.5
    assert unsupported("It is", ["nothing"]) == 0
    assert unsupported("", []) == 0


def test_names_that_stand_nowhere_are_invented():
    known = names_of(["os.path.join(a)"])
    assert invented("`os.path.join` or os.path.glue(x)", known) == ["glue"]
    assert invented("plain words only", known) == []


def test_numbers_of_passages_are_read_out_of_a_reply():
    assert cited("Yes [2], and [13].") == [2, 13]
    assert cited("x[i] is 2") == []

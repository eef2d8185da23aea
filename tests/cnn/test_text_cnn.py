"""TextCNN equals its definition, in any company, in 16 bits, with every pooling; bad input is named in both languages."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llm_tutorial.batching import batches
from llm_tutorial.cnn.text_cnn import (
    POOLINGS,
    SCALE,
    Encoded,
    SmallTransformer,
    TextCNN,
    counted_vectors,
    encode,
    logits_of,
    loss_of,
    pad,
    positions,
    vocabulary,
)

ROWS = [[5, 6, 7, 8], [9, 3, 4, 4, 7, 2, 5, 6, 8], [2, 2, 3, 5, 6, 7]]


def model_with(pooling="max", **options):
    torch.manual_seed(0)
    model = TextCNN(10, width=8, filters=5, pooling=pooling, **options).eval()
    model.embeddings[0].weight.data[1:] = torch.randn(9, 8)
    return model


def by_definition(model, row):
    """One text, one filter, one place at a time."""
    x, pooled = model.embeddings[0].weight[row], []
    for number, layer in enumerate(model.convolutions):
        region = layer.kernel_size[0]
        y = torch.stack(
            [
                torch.stack([(w.T * x[i : i + region]).sum() + b for i in range(len(x) - region + 1)])
                for w, b in zip(layer.weight, layer.bias, strict=True)
            ]
        )  # (filters, places)
        before, y = y, F.relu(y)
        if model.pooling == "max":
            pooled.append(y.max(-1).values)
        elif model.pooling == "mean":
            pooled.append(y.mean(-1))
        elif model.pooling == "k-max":
            for values in before.tolist():
                kept = sorted(sorted(range(len(values)), key=lambda i: -values[i])[: model.k])
                values = [max(values[i], 0.0) for i in kept] + [0.0] * (model.k - len(kept))
                pooled.append(torch.tensor(values))
        else:
            pooled.append(y @ (model.queries[number] @ y).softmax(-1))
    return model.classifier(torch.cat(pooled))


@pytest.mark.parametrize("pooling", POOLINGS)
@torch.no_grad()
def test_every_pooling_equals_its_definition_whatever_stands_beside(pooling):
    model = model_with(pooling)
    if model.queries is not None:
        nn.init.normal_(model.queries)
    wanted = torch.stack([by_definition(model, row) for row in ROWS])
    assert torch.allclose(model(pad(ROWS)), wanted, atol=1e-5)
    assert torch.allclose(logits_of(model, ROWS, size=1), wanted, atol=1e-5)
    assert torch.allclose(model(F.pad(pad(ROWS), (0, 30))), wanted, atol=1e-5)


@torch.no_grad()
def test_without_the_mask_padding_would_change_the_answer():
    model = model_with()
    for layer in model.convolutions:
        layer.bias.data.fill_(3.0)  # a filter that an empty place fires
    careless = torch.cat(
        [F.relu(layer(model.embeddings[0](pad(ROWS)).mT)).amax(-1) for layer in model.convolutions], -1
    )
    assert not torch.allclose(model.classifier(careless), model(pad(ROWS)), atol=1e-3)


def test_gradient_reaches_the_winning_ngram_alone():
    model = model_with(regions=(2,))
    x = model.embeddings[0].weight[ROWS[1]].detach().requires_grad_()
    c = F.relu(model.convolutions[0](x.T[None]))[0, 0]
    c.max().backward()
    place = c.argmax()
    assert c.max() > 0
    assert x.grad.abs().sum(1).nonzero()[:, 0].tolist() == [place, place + 1]


@pytest.mark.parametrize("channel", ["tuned", "static", "both"])
def test_static_vectors_stay_and_tuned_ones_learn(channel):
    vectors = torch.randn(10, 8)
    model = model_with(vectors=vectors, channel=channel)
    before = [table.weight.clone() for table in model.embeddings]
    loss_of(model, [Encoded(row, n % 2) for n, row in enumerate(ROWS)]).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1).step()
    changed = [not torch.equal(a, b.weight) for a, b in zip(before, model.embeddings, strict=True)]
    assert changed == {"tuned": [True], "static": [False], "both": [True, False]}[channel]
    assert all((table.weight[0] == 0).all() for table in model.embeddings)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pooling", POOLINGS)
@torch.no_grad()
def test_sixteen_bits_say_about_the_same(pooling, dtype):
    model = model_with(pooling)
    short = copy.deepcopy(model).to(dtype)
    assert torch.allclose(short(pad(ROWS)).float(), model(pad(ROWS)), atol=0.1)


@torch.no_grad()
def test_the_transformer_does_not_read_padding_and_sees_order():
    torch.manual_seed(0)
    model = SmallTransformer(10, width=8, heads=2).eval()
    model.embedding.weight.data[1:] = torch.randn(9, 8)
    alone = torch.cat([model(pad([row])) for row in ROWS])
    assert torch.allclose(model(pad(ROWS)), alone, atol=1e-5)
    assert not torch.allclose(model(pad([ROWS[1][::-1]])), model(pad([ROWS[1]])), atol=1e-4)


@torch.no_grad()
def test_words_of_the_transformer_are_scaled_before_positions_are_added():
    torch.manual_seed(0)
    model = SmallTransformer(10, width=8, layers=0).eval()
    words = model.embedding.weight[torch.tensor(ROWS[1])]  # at the start, with a standard deviation of 0.1
    wanted = model.classifier(model.norm(words * 8**0.5 + positions(len(ROWS[1]), 8)).mean(0))
    assert torch.allclose(model(pad([ROWS[1]]))[0], wanted, atol=1e-6)


def test_an_empty_text_and_one_shorter_than_the_filter_are_named_with_their_sizes():
    numbers = vocabulary(["好书好书"])
    for empty in ("", []):
        with pytest.raises(ValueError, match=r"0 tokens(.|\n)*0 个词元"):
            encode(empty, numbers)
    model = TextCNN(10)
    with pytest.raises(
        ValueError, match=r"text 1 of the batch has 1 tokens, the largest filter spans 4(.|\n)*第 1 条文本有 1 个词元"
    ):
        model(pad([[5, 6, 7, 8], [5]]))
    with pytest.raises(ValueError, match="has 0 tokens"):
        model(torch.zeros(1, 6, dtype=torch.long))
    with pytest.raises(ValueError, match="has 0 tokens"):
        model(torch.zeros(0, 6, dtype=torch.long))
    assert model(pad([encode("好", numbers, at_least=4)])).shape == (1, 2)


def test_wrong_settings_are_named():
    for options, said in (
        ({"regions": ()}, "at least one"),
        ({"regions": (2, 0)}, "each at least 1"),
        ({"pooling": "sum"}, r"unknown pooling 'sum'(.|\n)*池化"),
        ({"channel": "three"}, r"unknown channel 'three'(.|\n)*通道"),
        ({"vectors": torch.zeros(3, 8)}, r"\(3, 8\), the table has 10 tokens of width 64"),
    ):
        with pytest.raises(ValueError, match=said):
            TextCNN(10, **options)


def test_short_texts_are_filled_and_long_ones_left():
    numbers = vocabulary(["好书好书"])
    assert encode("好书", numbers, 4)[2:] == [1, 1]
    assert len(encode("好书好书好", numbers, 4)) == 5


def test_tokens_that_share_neighbours_get_like_vectors():
    draw = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(300):  # 2 and 3 stand among 6-9, 4 and 5 among 10-13
        word = int(torch.randint(2, 6, (), generator=draw))
        low = 6 if word < 4 else 10
        around = torch.randint(low, low + 4, (4,), generator=draw).tolist()
        rows.append([*around[:2], word, *around[2:]])
    found = counted_vectors(rows, 14, width=4, window=2)
    like = F.normalize(found, dim=-1)
    assert like[2] @ like[3] > 0.9 > 0.5 > like[2] @ like[4]
    assert abs(float(found.std()) - SCALE) < 1e-3
    shuffled = [[row[int(i)] for i in torch.randperm(5, generator=draw)] for row in rows]
    assert torch.isfinite(counted_vectors(shuffled, 14, width=4)).all()


def test_vectors_multiply_to_the_positive_mutual_information():
    rows, size = [[2, 3, 4, 2, 5], [3, 3, 5], [4, 2, 2, 3]], 6
    near = torch.zeros(size, size, dtype=torch.double)
    for row in rows:
        for i, u in enumerate(row):
            for j, v in enumerate(row):
                if 1 <= abs(i - j) <= 2:
                    near[u, v] += 1 / abs(i - j)
    p, q = near.sum(1) / near.sum(), near.sum(0) ** 0.75 / (near.sum(0) ** 0.75).sum()
    wanted = (near / near.sum() / (p[:, None] * q)).log().clamp(min=0).nan_to_num(0)
    directions, sizes, _ = torch.linalg.svd(wanted)
    gram = (directions * sizes) @ directions.T  # of the rows of U Sigma^(1/2)
    found = counted_vectors(rows, size, width=size, window=2).double()
    found = found @ found.T
    assert wanted.count_nonzero() > 4
    assert torch.allclose(found / found.trace(), gram / gram.trace(), atol=1e-4)


def test_a_pass_takes_each_text_once_and_the_next_another_order():
    found = [Encoded([2] * (n % 7 + 1), n) for n in range(64)]
    batch_at = batches(found, 8, seed=0, pool=20)
    first = [each.label for step in range(8) for each in batch_at(step)]
    second = [each.label for step in range(8, 16) for each in batch_at(step)]
    assert sorted(first) == sorted(second) == list(range(64))
    assert first != second


def test_it_learns_a_word_that_decides():
    torch.manual_seed(0)
    model = TextCNN(20, width=8, regions=(1, 2), filters=8, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    examples = []
    for n in range(200):
        row = torch.randint(3, 20, (8,)).tolist()
        if n % 2:
            row[n % 8] = 2
        examples.append(Encoded(row, n % 2))
    for _ in range(40):
        optimizer.zero_grad()
        loss_of(model, examples).div(200).backward()
        optimizer.step()
    said = logits_of(model, [example.input_ids for example in examples]).argmax(-1)
    assert (said == torch.tensor([example.label for example in examples])).double().mean() > 0.98

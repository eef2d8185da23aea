# %% setup
import jieba
import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from llm_tutorial.cnn.text_cnn import (
    SmallTransformer,
    TextCNN,
    encode,
    logits_of,
    vocabulary,
)
from llm_tutorial.data.reviews import reviews
from llm_tutorial.plotting import label_lines, panels, use_style
from llm_tutorial.timing import ratio, ratios

use_style()
torch.manual_seed(0)
torch.set_num_threads(1)
# PyTorch's special path for inference has a slow masked softmax: 4 times slower at 512
torch.backends.mha.set_fastpath_enabled(False)
jieba.setLogLevel("WARNING")
VOCABULARY, D = 8000, 64
cnn, transformer = TextCNN(VOCABULARY).eval(), SmallTransformer(VOCABULARY).eval()


def size(model):  # parameters but for the table of vectors
    return sum(p.numel() for p in model.parameters()) - VOCABULARY * D


def products(n):  # multiplications a token, in a text of n: TextCNN, Transformer
    filters = sum(32 * k * D for k in (2, 3, 4))
    return filters, 4 * D * D + 2 * D * 160 + 2 * n * D  # projections, MLP, attention


# %% slower timed
def slower(tokens, texts):
    ids = torch.randint(1, VOCABULARY, (texts, tokens))
    with torch.inference_mode():
        return ratio(lambda: transformer(ids), lambda: cnn(ids), seconds=0.5)


lengths = (32, 128, 512)
times = [slower(tokens, texts=max(4096 // tokens, 1)) for tokens in lengths]
assert times[-1] > times[0] > 1

# %% slower_figure differs="the clock"
figure, (axes,) = panels()
axes.plot(lengths, times, label="Transformer")
axes.axhline(1, color="grey", lw=1, ls=":")
axes.set(xlabel="tokens of a text", ylabel="time, TextCNN = 1")
axes.set_xscale("log", base=2)
axes.set_ylim(bottom=0)
label_lines(axes)

# %% slower_values values differs="the clock" tolerance="80%"
for tokens, found in zip(lengths, times, strict=True):
    print(f"slower_{tokens} = {found:.1f}")

# %% counting timed
texts = [review.text for review in reviews("test")][:200]
cuts = [jieba.lcut(text) for text in texts]
known = vocabulary(cuts)  # which words they are does not change the time
rows = [encode(cut, known, at_least=4) for cut in cuts]
counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2)
coefficients = np.zeros(counts.fit_transform(r.text for r in reviews("train")).shape[1])
shares = ratios(
    lambda: logits_of(cnn, rows, size=32),
    {
        "jieba": lambda: [jieba.lcut(text) for text in texts],
        "TF-IDF": lambda: counts.transform(texts) @ coefficients,
    },
)

# %% counting_values values differs="the clock" tolerance="80%"
print(f"cutting = {1 / shares['jieba']:.1f}")
print(f"counting = {1 / shares['TF-IDF']:.1f}")

# %% products_values values
for tokens in lengths:
    ours, theirs = products(tokens)
    print(f"products_{tokens} = {theirs / ours:.1f}")
print(f"size_cnn = {size(cnn)}")
print(f"size_transformer = {size(transformer)}")
print(f"size_ratio = {size(transformer) / size(cnn):.1f}")

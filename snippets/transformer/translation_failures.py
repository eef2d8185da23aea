# %% setup
import re

import torch
from sacrebleu import corpus_bleu
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    pipeline,
)

from llm_tutorial.results import weights
from llm_tutorial.tables import table
from llm_tutorial.transformer.scores import score
from llm_tutorial.transformer.translation import (
    TranslationMemory,
    translate,
    translation_config,
    translation_data,
)

data = translation_data()
folder = weights("transformer", "translation")
model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)

# %% retired
requests = {
    'pipeline("translation")': lambda: pipeline("translation"),
    "tokenizer.as_target_tokenizer()": lambda: tokenizer.as_target_tokenizer(),
    "tokenizer.prepare_seq2seq_batch(…)": lambda: tokenizer.prepare_seq2seq_batch([]),
}
for call, request in requests.items():
    try:
        request()
    except (KeyError, AttributeError) as error:
        print(f"{call}\n    {type(error).__name__}: {error.args[0].split('. See')[0]}")

# %% wrong_tokenizer
asked = data["message"]
texts = TranslationMemory(data["train"], 3).translate(asked)
pairs = list(zip(texts, (m.chinese for m in asked), strict=True))
bare = [pair for pair in pairs if not re.search("[!-~]", pair[1])]
groups = {
    "memory, all": pairs,
    "memory, no ASCII": bare,
    "people, no ASCII": [(reference, reference) for _, reference in bare],
}
bleu = {}
for name, group in groups.items():
    written, references = zip(*group, strict=True)
    bleu[name] = [
        corpus_bleu(written, [references], tokenize=tokenize).score
        for tokenize in ("13a", "zh", "char")
    ]
table(bleu, ["BLEU", "13a", "zh", "char"], ".1f").show()
assert bleu["people, no ASCII"][0] == 0  # of the references themselves
assert bleu["memory, all"][0] > bleu["memory, all"][1]

# %% wrong_tokenizer_values values
for name, (default, characters, _) in bleu.items():
    key = name.lower().replace(", ", "_").replace(" ", "_")
    print(f"bleu_13a_{key} = {default:.1f}")
    print(f"bleu_zh_{key} = {characters:.1f}")

# %% not_shifted
short = (m for m in data["train"] if 8 < len(m.english) < 30)
pairs = [m for m in short if "%" not in m.english and "{" not in m.english][:4]
features = [tokenizer(m.english, text_target=m.chinese) for m in pairs]


def taught(shifted, steps=80):
    torch.manual_seed(0)
    config = translation_config(tokenizer, dropout=0.0)
    learner = AutoModelForSeq2SeqLM.from_config(config).train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=2e-3)
    batch = DataCollatorForSeq2Seq(tokenizer, model=learner)(features)
    if not shifted:  # the decoder reads what it is to say
        padding = batch["labels"] == -100
        read = batch["labels"].masked_fill(padding, tokenizer.pad_token_id)
        batch["decoder_input_ids"] = read
    losses = []
    for _ in range(steps):
        loss = learner(**batch).loss
        losses.append(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return losses, translate(learner, tokenizer, pairs, max_length=16)


for shifted in (False, True):
    losses, texts = taught(shifted)
    right = sum(text == m.chinese for text, m in zip(texts, pairs, strict=True))
    at = ", ".join(f"{losses[step]:.2f}" for step in (0, 5, 10, 20))
    print(f"shifted: {shifted}, loss at steps 0, 5, 10, 20: {at};")
    print(f"    right {right} of 4:", texts[:2])
    assert losses[-1] < 0.5 and right == (4 if shifted else 0)

# %% start_token differs="text near a tie"
asked = [m for m in data["message"] if 10 < len(m.english) < 40][::4]
right = translate(model, tokenizer, asked)
wrong = translate(
    model, tokenizer, asked, decoder_start_token_id=tokenizer.eos_token_id
)
for name, written in (("as trained", right), ("another start", wrong)):
    print(f"{name}: chrF {score(written, asked)['chrf']:.1f}")
assert score(wrong, asked)["chrf"] < score(right, asked)["chrf"] - 1
for m, a, b in zip(asked, right, wrong, strict=True):
    if b and a == m.chinese != b:
        print(m.english, "|", a, "|", b)
        break
trained_with = model.prepare_decoder_input_ids_from_labels(torch.zeros(1, 1).long())
assert trained_with[0, 0] == model.generation_config.decoder_start_token_id

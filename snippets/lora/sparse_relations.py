# %% setup
import matplotlib.pyplot as plt
import torch

from llm_tutorial.data.people_daily import people_daily
from llm_tutorial.lora.encoder import RelationSparseAttention, RelationSparseConfig
from llm_tutorial.lora.interaction import InteractionMatrix
from llm_tutorial.lora.relations import RELATIONS, related_kinds
from llm_tutorial.plotting import COLOURS, heatmap, panels, use_style

use_style()
torch.manual_seed(0)
lines = people_daily("test", characters=1)
paragraph = next(line for line in lines if "本·阿里总统的会谈" in line.text)
TITLES = [
    "总统", "主席", "总理", "书记", "部长", "省长", "市长",
    "委员", "主任", "经理", "教授", "记者", "大使", "同志",
]  # fmt: skip
TYPES = ["PER", "LOC", "ORG"]


# %% relations
def encode(text: str) -> list[int]:
    return [ord(character) for character in text]


def relations(document) -> torch.Tensor:
    """Kinds (n, mentions) of all tokens to all mentions, sums of bits; gold types."""
    ids = torch.tensor([encode(document.text)])
    starts = torch.tensor([[entity.start for entity in document.entities]])
    types = torch.zeros_like(ids)
    for start, _, kind in document.entities:
        types[0, start] = 1 + TYPES.index(kind)
    ends, titles = encode("。！？\n"), [tuple(encode(title)) for title in TITLES]
    return related_kinds(ids, starts, sentence_ends=ends, titles=titles, types=types)[0]


kinds = relations(paragraph)
print(f"tokens = {kinds.shape[0]}")
print(f"entities = {kinds.shape[1]}")

# %% shown
figure, axes = panels(4, height=4.0)
for bit, (panel, name) in enumerate(zip(axes, RELATIONS, strict=True)):
    has = (kinds >> bit) & 1  # (n, entities)
    heatmap(panel, has, colours=[COLOURS[bit]])
    panel.set(title=f"{name}: {int(has.sum())}", xlabel="entity", ylabel="token")
plt.show()

# %% in_words
text, mentions = paragraph.text, paragraph.entities


def around(i: int) -> str:
    return f"{text[max(0, i - 4) : i]}[{text[i : i + 2]}]{text[i + 2 : i + 6]}"


for bit, entity in ((0, 5), (1, 18), (2, 7), (3, 13)):
    start, end, _ = mentions[entity]
    tokens = ((kinds[:, entity] >> bit) & 1).nonzero()[:, 0].tolist()
    few = tokens if len(tokens) < 9 else [*tokens[:2], *tokens[-2:]]
    shown = "  ".join(map(around, few))
    print(f"{RELATIONS[bit]:14} {text[start:end]}@{start} ← {len(tokens)}: {shown}")


# %% embeddings
n, heads, d = kinds.shape[0], 2, 32
at = torch.tensor([entity.start for entity in mentions])
sizes = {"hidden_size": heads * d, "num_attention_heads": heads}
config = RelationSparseConfig(**sizes, block_size=16, window=1)
layer = RelationSparseAttention(config)
b = layer.relation_key  # (2, relations, heads, d)
torch.nn.init.normal_(b)  # zero before training
matrix = InteractionMatrix(n, 16, 1, entities=at[None])
hidden = torch.randn(1, n, heads * d)
still = torch.ones(n, d), torch.zeros(n, d)  # no rotation of positions
with torch.no_grad():
    ours = layer(hidden, still, matrix, kinds=kinds[None])[0]

    Q, K, V = layer.qkv(hidden[0]).view(n, 3, heads, d).permute(1, 2, 0, 3)
    has = ((kinds[..., None] >> torch.arange(4)) & 1).float()  # (n, entities, 4)
    read, back = torch.einsum("nek,dkhs->dhnes", has, b)  # each (heads, n, entities, d)
    scores = Q @ K.mT
    # a token reads an entity, an entity reads a token
    scores[:, :, at] += torch.einsum("hns,hnes->hne", Q, read)
    scores[:, at] = Q[:, at] @ K.mT + torch.einsum("hes,hnes->hen", Q[:, at], back)
    weights = (scores / d**0.5).masked_fill(~matrix.mask(), -torch.inf).softmax(-1)
    by_hand = layer.out((weights @ V).permute(1, 0, 2).reshape(n, -1))
assert torch.allclose(ours, by_hand, atol=1e-5)

# %% embeddings_values values
print(f"parameters_of_the_relations = {layer.relation_key.numel()}")


# %% corpus
def same_name(document) -> torch.Tensor:
    """(mentions, mentions), True for two mentions of one name and type."""
    names = [(document.text[start:end], kind) for start, end, kind in document.entities]
    return torch.tensor([[one == other for other in names] for one in names])


documents = people_daily("train", characters=2048)[::14]
found = [relations(document).to(torch.uint8) for document in documents]
links, at_mentions, right = torch.zeros(3, 4)  # of each relation
chance = possible = 0
for document, kinds in zip(documents, found, strict=True):
    starts = [entity.start for entity in document.entities]
    apart = ~torch.eye(len(starts), dtype=torch.bool)  # a mention from itself: no link
    same = same_name(document) & apart
    chance += int(same.sum())
    possible += int(apart.sum())
    for bit in range(4):
        has = ((kinds >> bit) & 1).bool()
        links[bit] += int(has.sum()) - int(has[starts].diagonal().sum())
        at_mentions[bit] += int((has[starts] & apart).sum())
        right[bit] += int((has[starts] & same).sum())
print(f"{'':14}{'links a document':>18}{'between two mentions':>23}{'of one name':>14}")
rows = zip(RELATIONS, links, at_mentions, right, strict=True)
for name, count, between, named in rows:
    each, of_one_name = count / len(documents), named / max(between, 1)
    print(f"{name:14}{each:18,.0f}{between / count:23.1%}{of_one_name:14.1%}")
print(f"{'any two':14}{'':41}{chance / possible:14.1%}")

# %% corpus_values values
print(f"documents = {len(documents)}")
count = sum(len(document.entities) for document in documents)
print(f"mentions_a_document = {count / len(documents):.0f}")

# %% titles
owner = {"the same": 0, "somebody else": 0, "nobody beside it": 0}
for document, kinds in zip(documents, found, strict=True):
    text = document.text
    beside = {}  # place of a title → the person named right after it or right before it
    for start, end, kind in document.entities:
        if kind == "PER":
            beside[start - 2] = text[start:end]
            beside.setdefault(end, text[start:end])
    for index, (start, end, _) in enumerate(document.entities):
        entity = text[start:end]
        for place in ((kinds[:, index] >> 2) & 1).nonzero()[:, 0].tolist():
            if place == start - 2:
                continue  # its own title
            named = beside.get(place)
            if named is None:
                owner["nobody beside it"] += 1
            elif named.startswith(entity) or entity.startswith(named):  # 江 and 江泽民
                owner["the same"] += 1
            else:
                owner["somebody else"] += 1
total = sum(owner.values())
for name, count in owner.items():
    each = count / len(documents)
    print(f"{name:18}{each:8.1f} links a document {count / total:8.1%}")

# %% titles_values values
print(f"title_same_percent = {100 * owner['the same'] / total:.0f}")
print(f"title_other_percent = {100 * owner['somebody else'] / total:.0f}")
print(f"title_nobody_percent = {100 * owner['nobody beside it'] / total:.0f}")

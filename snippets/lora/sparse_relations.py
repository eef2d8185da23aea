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
paragraph = next(line for line in people_daily("test", characters=1) if "本·阿里总统的会谈" in line.text)
TITLES = [
    "总统",
    "主席",
    "总理",
    "书记",
    "部长",
    "省长",
    "市长",
    "委员",
    "主任",
    "经理",
    "教授",
    "记者",
    "大使",
    "同志",
]
TYPES = ["PER", "LOC", "ORG"]


# %% relations
def encode(text: str) -> list[int]:
    return [ord(character) for character in text]


def relations(document) -> torch.Tensor:
    """Kinds (n, mentions) of all tokens to all mentions, a sum of bits; the types are the annotated ones here."""
    types = torch.zeros(1, len(document.text), dtype=torch.long)
    for start, _, kind in document.entities:
        types[0, start] = 1 + TYPES.index(kind)
    return related_kinds(
        torch.tensor([encode(document.text)]),
        torch.tensor([[entity.start for entity in document.entities]]),
        sentence_ends=encode("。！？\n"),
        titles=[tuple(encode(title)) for title in TITLES],
        types=types,
    )[0]


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


def around(place: int) -> str:
    return f"{text[max(0, place - 4) : place]}[{text[place : place + 2]}]{text[place + 2 : place + 6]}"


for bit, entity in ((0, 5), (1, 18), (2, 7), (3, 13)):
    named = text[mentions[entity].start : mentions[entity].end]
    tokens = ((kinds[:, entity] >> bit) & 1).nonzero()[:, 0].tolist()
    shown = tokens if len(tokens) < 9 else [*tokens[:2], *tokens[-2:]]
    print(f"{RELATIONS[bit]:14} {named}@{mentions[entity].start} ← {len(tokens)}: {'  '.join(map(around, shown))}")


# %% embeddings
n, heads, d = kinds.shape[0], 2, 32
at = torch.tensor([entity.start for entity in mentions])
config = RelationSparseConfig(hidden_size=heads * d, num_attention_heads=heads, block_size=16, window=1)
layer = RelationSparseAttention(config)
torch.nn.init.normal_(layer.relation_key)  # (2, relations, heads, d): zero before training
matrix = InteractionMatrix(n, 16, 1, entities=at[None])
hidden, still = torch.randn(1, n, heads * d), (torch.ones(n, d), torch.zeros(n, d))  # no rotation of positions
with torch.no_grad():
    ours = layer(hidden, still, matrix, kinds=kinds[None])[0]

    Q, K, V = layer.qkv(hidden[0]).view(n, 3, heads, d).permute(1, 2, 0, 3)  # (heads, n, d) each
    has = ((kinds[..., None] >> torch.arange(4)) & 1).float()  # (n, entities, relations)
    read, back = torch.einsum("nek,dkhs->dhnes", has, layer.relation_key)  # (heads, n, entities, d) each
    scores = Q @ K.mT
    scores[:, :, at] += torch.einsum("hns,hnes->hne", Q, read)  # a token reads an entity
    scores[:, at] = Q[:, at] @ K.mT + torch.einsum("hes,hnes->hen", Q[:, at], back)  # an entity reads a token
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
links, at_mentions, right, chance, possible = torch.zeros(4), torch.zeros(4), torch.zeros(4), 0, 0
for document, kinds in zip(documents, found, strict=True):
    starts = [entity.start for entity in document.entities]
    apart = ~torch.eye(len(starts), dtype=torch.bool)  # a mention's relation to itself says nothing
    same = same_name(document) & apart
    chance, possible = chance + int(same.sum()), possible + int(apart.sum())
    for bit in range(4):
        has = ((kinds >> bit) & 1).bool()
        links[bit] += int(has.sum()) - int(has[starts].diagonal().sum())
        at_mentions[bit] += int((has[starts] & apart).sum())
        right[bit] += int((has[starts] & same).sum())
print(f"{'':14}{'links a document':>18}{'between two mentions':>23}{'of one name':>14}")
for bit, name in enumerate(RELATIONS):
    print(
        f"{name:14}{links[bit] / len(documents):18,.0f}{at_mentions[bit] / links[bit]:23.1%}{right[bit] / max(at_mentions[bit], 1):14.1%}"
    )
print(f"{'any two':14}{'':41}{chance / possible:14.1%}")

# %% corpus_values values
print(f"documents = {len(documents)}")
print(f"mentions_a_document = {sum(len(d.entities) for d in documents) / len(documents):.0f}")

# %% titles
owner = {"the same": 0, "somebody else": 0, "nobody beside it": 0}
for document, kinds in zip(documents, found, strict=True):
    text = document.text
    people = [(start, end, text[start:end]) for start, end, kind in document.entities if kind == "PER"]
    beside = {}  # place of a title → the person named right after it or right before it
    for start, end, name in people:
        beside[start - 2] = name
        beside.setdefault(end, name)
    for index, (start, end, _) in enumerate(document.entities):
        for place in ((kinds[:, index] >> 2) & 1).nonzero()[:, 0].tolist():
            if place == start - 2:
                continue  # its own title
            named, entity = beside.get(place), text[start:end]
            same = named is not None and (named.startswith(entity) or entity.startswith(named))  # 江 and 江泽民
            owner["nobody beside it" if named is None else "the same" if same else "somebody else"] += 1
total = sum(owner.values())
for name, count in owner.items():
    print(f"{name:18}{count / len(documents):8.1f} links a document {count / total:8.1%}")

# %% titles_values values
print(f"title_same_percent = {100 * owner['the same'] / total:.0f}")
print(f"title_other_percent = {100 * owner['somebody else'] / total:.0f}")
print(f"title_nobody_percent = {100 * owner['nobody beside it'] / total:.0f}")

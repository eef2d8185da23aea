# %% setup
import torch
from diffusers import (
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llm_tutorial.diffusion.autoencoder import autoencoder
from llm_tutorial.diffusion.latent import u_net
from llm_tutorial.tables import table
from llm_tutorial.timing import ratio

torch.set_grad_enabled(False)
torch.manual_seed(0)


def flop(network, *inputs, **named):
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):
        network(*inputs, **named)
    return counted.get_total_flops()


# %% count
def convolution(side, channels_in, channels_out, kernel=3):
    return 2 * side**2 * kernel**2 * channels_in * channels_out


def attention(side, width, tokens=None):  # without tokens: of places to each other
    places = side**2
    keys, of_states = (tokens, 96) if tokens else (places, width)
    projections = 2 * (2 * places * width * width) + 2 * (2 * keys * of_states * width)
    return projections + 2 * (
        2 * places * keys * width
    )  # Q Kᵀ, and the weights times V


layer = torch.nn.Conv2d(64, 64, 3, padding=1)
assert flop(layer, torch.zeros(1, 64, 8, 8)) == convolution(8, 64, 64)
untrained = u_net((64, 128), text_width=96)
block = untrained.down_blocks[0].attentions[0].transformer_blocks[0]
h, S = torch.zeros(1, 64, 64), torch.zeros(1, 32, 96)
assert flop(block.attn1, h) == attention(8, 64)
assert flop(block.attn2, h, encoder_hidden_states=S) == attention(8, 64, tokens=32)

# %% pixels
on_latents = (torch.randn(4, 8, 8, 8), 5, torch.randn(4, 32, 96))
rows = {}
for name, size in (("latents", 8), ("pixels", 32)):
    counted = flop(untrained, torch.zeros(1, 8, size, size), 5, S)
    rows[name] = [
        f"{size} × {size}", counted / 1e6, convolution(size, 64, 64) / 1e6,
        attention(size, 64) / 1e6,
    ]  # fmt: skip
decoder = flop(autoencoder((16, 32, 64)).decode, torch.zeros(1, 8, 8, 8))
rows["decoder, once a picture"] = ["to 32 × 32", decoder / 1e6, "", ""]
heads = ["U-Net on", "grid", "MFLOP", "a convolution", "a self-attention"]
table(rows, heads, ["", ".0f", ".1f", ".1f"]).show()

# %% measured timed
in_pixels = torch.randn(4, 8, 32, 32)
slower = ratio(
    lambda: untrained(in_pixels, *on_latents[1:]),
    lambda: untrained(*on_latents),
    seconds=0,
)
print(f"slower = {slower:.0f}")  # tolerance 60%

# %% pixels_values values
print(f"times = {rows['pixels'][1] / rows['latents'][1]:.0f}")
print(f"unet_mega = {rows['latents'][1]:.0f}")
print(f"decoder_mega = {decoder / 1e6:.0f}")
print(f"convolution_times = {rows['pixels'][2] / rows['latents'][2]:.0f}")
print(f"attention_times = {rows['pixels'][3] / rows['latents'][3]:.0f}")

# %% family
with torch.device("meta"):  # sizes alone: no memory, no weights
    ours = u_net((64, 128), text_width=96)
    sd15 = UNet2DConditionModel(cross_attention_dim=768)  # Diffusers' defaults
    sdxl = UNet2DConditionModel(
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", *2 * ("CrossAttnDownBlock2D",)),
        up_block_types=(*2 * ("CrossAttnUpBlock2D",), "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )  # fmt: skip
    sd3 = SD3Transformer2DModel(
        num_layers=24, num_attention_heads=24, attention_head_dim=64,
        caption_projection_dim=1536, pos_embed_max_size=192,
    )  # fmt: skip
    flux = FluxTransformer2DModel(guidance_embeds=True)
millions = {
    name: sum(p.numel() for p in network.parameters()) / 1e6
    for name, network in (
        ("ours", ours), ("sd15", sd15), ("sdxl", sdxl), ("sd3", sd3), ("flux", flux)
    )
}  # fmt: skip
table({name: [size] for name, size in millions.items()}, ["", "M"], ",.0f").show()

# %% family_values values
for name, size in millions.items():
    print(f"{name} = {size:.1f}")
for name in ("sdxl", "sd3", "flux"):
    print(f"{name}_billions = {millions[name] / 1000:.1f}")

# %% resolution
rows, counts = {}, {}
for size in (512, 1024, 2048):
    side = size // 8  # of the latent
    with torch.device("meta"):
        counts[size] = flop(
            sd15, torch.zeros(1, 4, side, side), torch.tensor(5),
            torch.zeros(1, 77, 768),
        )  # fmt: skip
    places = side**2
    of_places = 5 * 2 * 2 * places**2 * 320  # five self-attentions, largest grid
    scores = 8 * places**2 * 2 / 2**30  # one layer's, 8 heads, half precision
    rows[f"{size:,} px"] = [
        f"{places:,}", counts[size] / 1e12, 100 * of_places / counts[size], scores,
    ]  # fmt: skip
heads = ["SD 1.5", "places", "TFLOP a call", "% pairs of places", "scores, GiB"]
table(rows, heads, ["", ".1f", ".0f", ".2f"]).show()

# %% resolution_values values
for size in (512, 1024, 2048):
    print(f"tera_{size} = {counts[size] / 1e12:.1f}")
    print(f"share_{size} = {rows[f'{size:,} px'][2]:.0f}")
    print(f"scores_{size} = {rows[f'{size:,} px'][3]:.2f}")
print(f"growth = {counts[2048] / counts[512]:.0f}")

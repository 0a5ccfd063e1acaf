"""Models with small random weights: plain PyTorch, and diffusers' three classes."""

import pytest
import torch

GRID = (3, 4, 6)
TOKENS = 72


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = torch.nn.Linear(32, 96)
        self.last = None

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 16)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        self.last = (q, k, v)
        o = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return x + o.transpose(1, 2).flatten(2)


def plain_model(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(Attention(), Attention())


class Transformer(torch.nn.Module):
    """Attention layers that are told a timestep, as diffusers' transformers are."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.blocks = torch.nn.ModuleList([Attention(), Attention()])

    def forward(self, x, timestep=None):
        for block in self.blocks:
            x = block(x)
        return x


def wan():
    """(model, step -> its forwards, guided by two calls)"""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    torch.manual_seed(1)
    model = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=24, in_channels=4, out_channels=4,
        text_dim=16, freq_dim=16, ffn_dim=32, num_layers=2, cross_attn_norm=True, rope_max_seq_len=32,
    ).eval()  # fmt: skip
    latent = torch.randn(1, 4, GRID[0], 2 * GRID[1], 2 * GRID[2])

    def forward(step):
        for text in (torch.ones(1, 5, 16), torch.zeros(1, 5, 16)):
            model(latent + step, timestep=torch.tensor([900 - step]), encoder_hidden_states=text)

    return model, forward


def cogvideox():
    """(model, step -> its forward, guided in one batch)"""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    torch.manual_seed(2)
    model = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=24, in_channels=4, out_channels=4, time_embed_dim=8,
        text_embed_dim=16, num_layers=2, sample_width=2 * GRID[2], sample_height=2 * GRID[1],
        sample_frames=9, patch_size=2, temporal_compression_ratio=4, max_text_seq_length=5,
    ).eval()  # fmt: skip
    latent = torch.randn(2, GRID[0], 4, 2 * GRID[1], 2 * GRID[2])

    def forward(step):
        text = torch.cat([torch.zeros(1, 5, 16), torch.ones(1, 5, 16)])
        model(latent + step, text, torch.tensor([900 - step, 900 - step]))

    return model, forward


def hunyuan():
    """(model, step -> its forward, unguided)"""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    torch.manual_seed(3)
    model = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=24, num_layers=1,
        num_single_layers=1, num_refiner_layers=1, patch_size=2, patch_size_t=1, guidance_embeds=True,
        text_embed_dim=16, pooled_projection_dim=8, rope_axes_dim=(8, 8, 8),
    ).eval()  # fmt: skip
    latent = torch.randn(1, 4, GRID[0], 2 * GRID[1], 2 * GRID[2])

    def forward(step):
        model(
            latent + step, torch.tensor([900 - step]), torch.ones(1, 5, 16),
            torch.ones(1, 5, dtype=torch.bool), torch.ones(1, 8), guidance=torch.tensor([6000.0]),
        )  # fmt: skip

    return model, forward

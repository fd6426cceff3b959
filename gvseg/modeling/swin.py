"""Swin Transformer as a backbone (Liu et al., ICCV 2021), with the weight names of Mask2Former.

N frames, (H, W) tokens, C channels, M heads, w window side.  Tokens lie as (N, H, W, C).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp, trunc_normal_
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone

STAGES = ("res2", "res3", "res4", "res5")


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a learnt bias for each relative position."""

    relative_position_index: Tensor  # (w*w*w*w,) rows of the bias table

    def __init__(
        self, *, dim: int, window: int, num_heads: int, qkv_bias: bool, scale: float | None,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_heads = num_heads
        self.scale = scale
        self.dropout = dropout
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * window - 1) ** 2, num_heads)
        )
        trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_positions(window), False)
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, windows: Tensor, apart: Tensor | None) -> Tensor:
        """Attend inside each window.

        Args:
            windows: (N, windows of a frame, w*w, C).
            apart: (windows of a frame, w*w, w*w) 0 where two tokens may meet and -100 where a
                shifted window joined opposite sides of the frame.
        """
        num_frames, num_windows, area, _ = windows.shape
        qkv = self.qkv(windows).view(
            -1, area, 3, self.num_heads, windows.shape[-1] // self.num_heads
        )
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.view(area, area, -1).permute(2, 0, 1)[None]
        if apart is not None:
            bias = (bias + apart[:, None]).repeat(num_frames, 1, 1, 1)
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=bias.to(query.dtype),
            dropout_p=self.dropout if self.training else 0.0,
            scale=self.scale,
        )
        attended = attended.transpose(1, 2).reshape(num_frames, num_windows, area, -1)
        return self.proj(attended)


class SwinBlock(nn.Module):
    """Attention in (shifted) windows and a feed-forward, both with pre-norm and residual."""

    def __init__(
        self, *, dim: int, window: int, shift: int, mlp_ratio: float, dropout: float,
        drop_path: float, attention: dict,
    ) -> None:  # fmt: skip
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim=dim, window=window, **attention)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, apart: Tensor) -> Tensor:
        height, width = tokens.shape[1:3]
        padded = pad_to_multiple(self.norm1(tokens), self.window)
        if self.shift:
            padded = padded.roll((-self.shift, -self.shift), (1, 2))
        windows = partition(padded, self.window)
        windows = self.attn(windows, apart if self.shift else None)
        padded = unpartition(windows, self.window, (padded.shape[1], padded.shape[2]))
        if self.shift:
            padded = padded.roll((self.shift, self.shift), (1, 2))
        update = self.dropout(padded[:, :height, :width])
        tokens = tokens + self.drop_path(update)
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class PatchMerging(nn.Module):
    """Halve height and width: four neighbours become one token of twice the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = pad_to_multiple(tokens, 2)
        # Column-major order of the four neighbours is what the published weights expect.
        corners = [tokens[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))


class SwinStage(nn.Module):
    """Blocks at one resolution, then the step down to the next."""

    def __init__(
        self, *, dim: int, window: int, drop_paths: list[float], has_next: bool,
        use_checkpoint: bool, block: dict,
    ) -> None:  # fmt: skip
        super().__init__()
        self.window = window
        self.use_checkpoint = use_checkpoint
        self.blocks = nn.ModuleList(
            SwinBlock(
                dim=dim,
                window=window,
                shift=window // 2 if index % 2 else 0,
                drop_path=drop_path,
                **block,
            )
            for index, drop_path in enumerate(drop_paths)
        )
        self.downsample = PatchMerging(dim) if has_next else None

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of this stage; `downsample` is applied by the caller."""
        apart = separate_sides(
            (tokens.shape[1], tokens.shape[2]), self.window, self.window // 2, tokens.device
        )
        for block in self.blocks:
            if self.use_checkpoint and self.training:
                tokens = checkpoint(block, tokens, apart, use_reentrant=False)
            else:
                tokens = block(tokens, apart)
        return tokens


class PatchEmbed(nn.Module):
    """Cut the frame into patches and embed each."""

    def __init__(self, *, patch_size: int, dim: int, with_norm: bool) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(3, dim, patch_size, patch_size)
        self.norm = nn.LayerNorm(dim) if with_norm else None

    def forward(self, frames: Tensor) -> Tensor:
        """Embed (N, 3, h, w) as (N, h/4, w/4, C), padding at the right and bottom."""
        height, width = frames.shape[-2:]
        frames = F.pad(frames, (0, -width % self.patch_size, 0, -height % self.patch_size))
        tokens = self.proj(frames).permute(0, 2, 3, 1)
        return tokens if self.norm is None else self.norm(tokens)


@BACKBONE_REGISTRY.register()
class D2SwinTransformer(Backbone):
    """Swin T, S, B or L, named as Mask2Former's configs name it.

    Args:
        stages: number of blocks and of attention heads of each stage.
        embed_dim: channels of the first stage.
        window: side of the attention windows.
        patch: options of `PatchEmbed`.
        block: options of `SwinBlock` besides its place.
        drop_path: probability to skip the last block; those before it are skipped less.
        out_features: names of the stages to return, of res2 to res5.
        use_checkpoint: recompute activations in the backward pass.
    """

    @configurable
    def __init__(
        self,
        *,
        stages: list[tuple[int, int]],
        embed_dim: int,
        window: int,
        patch: dict,
        block: dict,
        drop_path: float,
        out_features: list[str],
        use_checkpoint: bool,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(dim=embed_dim, **patch)
        depths = [depth for depth, _ in stages]
        step = drop_path / max(sum(depths) - 1, 1)
        rates = [step * index for index in range(sum(depths))]
        firsts = [sum(depths[:index]) for index in range(len(depths))]
        dims = [embed_dim * 2**index for index in range(len(stages))]
        self.layers = nn.ModuleList(
            SwinStage(
                dim=dim,
                window=window,
                drop_paths=rates[first : first + depth],
                has_next=index + 1 < len(stages),
                use_checkpoint=use_checkpoint,
                block={**block, "attention": {**block["attention"], "num_heads": heads}},
            )
            for index, (dim, first, (depth, heads)) in enumerate(
                zip(dims, firsts, stages, strict=True)
            )
        )
        self._out_features = list(out_features)
        self._out_feature_channels = dict(zip(STAGES, dims, strict=True))
        self._out_feature_strides = {
            name: patch["patch_size"] * 2**index for index, name in enumerate(STAGES)
        }
        for index, name in enumerate(STAGES):
            if name in self._out_features:
                self.add_module(f"norm{index}", nn.LayerNorm(dims[index]))

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        swin = cfg.MODEL.SWIN
        if cfg.MODEL.BACKBONE.FREEZE_AT:
            raise ValueError(
                f"MODEL.BACKBONE.FREEZE_AT is {cfg.MODEL.BACKBONE.FREEZE_AT}; Swin supports 0 only."
            )
        if swin.APE:
            raise ValueError("MODEL.SWIN.APE True is not supported: no published model uses it.")
        return {
            "stages": list(zip(swin.DEPTHS, swin.NUM_HEADS, strict=True)),
            "embed_dim": swin.EMBED_DIM,
            "window": swin.WINDOW_SIZE,
            "patch": {"patch_size": swin.PATCH_SIZE, "with_norm": swin.PATCH_NORM},
            "block": {
                "mlp_ratio": swin.MLP_RATIO,
                "dropout": swin.DROP_RATE,
                "attention": {
                    "qkv_bias": swin.QKV_BIAS,
                    "scale": swin.QK_SCALE,
                    "dropout": swin.ATTN_DROP_RATE,
                },
            },
            "drop_path": swin.DROP_PATH_RATE,
            "out_features": swin.OUT_FEATURES,
            "use_checkpoint": swin.USE_CHECKPOINT,
        }

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """Return the features of (N, 3, h, w), each (N, C, H, W), by name."""
        tokens = self.patch_embed(frames)
        features = {}
        for index, (name, stage) in enumerate(zip(STAGES, self.layers, strict=True)):
            assert isinstance(stage, SwinStage)
            tokens = stage(tokens)
            if name in self._out_features:
                norm = getattr(self, f"norm{index}")
                features[name] = norm(tokens).permute(0, 3, 1, 2).contiguous()
            if stage.downsample is not None:
                tokens = stage.downsample(tokens)
        return features

    @property
    def size_divisibility(self) -> int:
        """Frames should be multiples of the coarsest stride."""
        return 32


def relative_positions(window: int) -> Tensor:
    """Row of the bias table for each pair of tokens of a window: (w*w*w*w,) int64."""
    axis = torch.arange(window)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    row, column = row.flatten(), column.flatten()
    down = row[:, None] - row[None] + window - 1
    right = column[:, None] - column[None] + window - 1
    return (down * (2 * window - 1) + right).flatten()


def pad_to_multiple(tokens: Tensor, divisor: int) -> Tensor:
    """Pad (N, H, W, C) with zeros at the bottom and right."""
    height, width = tokens.shape[1:3]
    return F.pad(tokens, (0, 0, 0, -width % divisor, 0, -height % divisor))


def partition(tokens: Tensor, window: int) -> Tensor:
    """Cut (N, H, W, C) into windows: (N, number, w*w, C)."""
    rows = tokens.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    return rows.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def unpartition(windows: Tensor, window: int, size: tuple[int, int]) -> Tensor:
    """Undo `partition` for frames of `size`."""
    rows = windows.unflatten(2, (window, window)).unflatten(1, (size[0] // window, -1))
    return rows.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def separate_sides(size: tuple[int, int], window: int, shift: int, device: torch.device) -> Tensor:
    """Mask for shifted windows: (number, w*w, w*w), -100 between tokens that are not neighbours."""
    height, width = (-(-length // window) * window for length in size)

    def parts(length: int) -> Tensor:
        place = torch.arange(length, device=device)
        return (place >= length - window).long() + (place >= length - shift).long()

    part = parts(height)[:, None] * 3 + parts(width)[None]
    part = partition(part[None, :, :, None], window)[0, :, :, 0]
    return torch.where(part[:, None] == part[:, :, None], 0.0, -100.0)

"""Pixel decoder: multi-scale deformable attention over backbone features, then one finer level.

N frames, C channels, L levels from coarse to fine, S = sum of h*w over the levels.
After Deformable DETR (Zhu et al., ICLR 2021) as Mask2Former uses it (section 3.1 and appendix).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm

from gvseg.modeling.attention import FeedForward
from gvseg.modeling.position_encoding import SinePositionEncoding
from gvseg.ops import MSDeformAttn


class EncoderLayer(nn.Module):
    """Deformable self-attention over all levels, then a feed-forward, each with post-norm."""

    def __init__(
        self, *, embed_dim: int, num_heads: int, num_levels: int, num_points: int, hidden_dim: int,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = MSDeformAttn(
            embed_dim=embed_dim, num_heads=num_heads, num_levels=num_levels, num_points=num_points
        )
        self.attention_norm = nn.LayerNorm(embed_dim)
        self.feed_forward = FeedForward(embed_dim=embed_dim, hidden_dim=hidden_dim, dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, places: Tensor, references: Tensor, sizes: list[tuple[int, int]]
    ) -> Tensor:
        update = self.attention(tokens + places, references, tokens, sizes)
        tokens = self.attention_norm(tokens + self.dropout(update))
        return self.feed_forward_norm(tokens + self.dropout(self.feed_forward(tokens)))


class PixelDecoder(nn.Module):
    """Refine backbone features at three scales and make mask features at the finest.

    Args:
        in_shapes: channels and stride of each backbone feature; the finest one (`res2`) only joins
            at the end, the others pass through the encoder.
        encoder_features: names of the features that the encoder refines.
        embed_dim: channels of everything inside.
        mask_dim: channels of the mask features.
        num_layers: encoder layers.
        layer: options of `EncoderLayer` besides widths and levels.
        norm: of the convolutions, as detectron2 names it.
    """

    @configurable
    def __init__(
        self,
        *,
        in_shapes: dict[str, ShapeSpec],
        encoder_features: list[str],
        embed_dim: int,
        mask_dim: int,
        num_layers: int,
        layer: dict,
        norm: str,
    ) -> None:
        super().__init__()
        by_stride = sorted(in_shapes, key=lambda name: in_shapes[name].stride, reverse=True)
        self.encoder_features = [name for name in by_stride if name in encoder_features]
        self.finer_features = [name for name in by_stride if name not in encoder_features]
        self.input_projections = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(in_shapes[name].channels, embed_dim, 1), get_norm("GN", embed_dim)
            )
            for name in self.encoder_features
        )
        self.position_encoding = SinePositionEncoding(channels=embed_dim, dims=2)
        self.level_embed = nn.Parameter(torch.empty(len(self.encoder_features), embed_dim))
        self.layers = nn.ModuleList(
            EncoderLayer(embed_dim=embed_dim, num_levels=len(self.encoder_features), **layer)
            for _ in range(num_layers)
        )
        self.laterals = nn.ModuleList(
            Conv2d(
                in_shapes[name].channels, embed_dim, 1,
                bias=not norm, norm=get_norm(norm, embed_dim),
            )
            for name in self.finer_features
        )  # fmt: skip
        self.outputs = nn.ModuleList(
            Conv2d(
                embed_dim, embed_dim, 3, padding=1,
                bias=not norm, norm=get_norm(norm, embed_dim), activation=F.relu,
            )
            for _ in self.finer_features
        )  # fmt: skip
        self.mask_features = nn.Conv2d(embed_dim, mask_dim, 1)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.level_embed)
        for name, parameter in self.input_projections.named_parameters():
            if name.endswith("0.weight"):  # of the convolution; the norm keeps its ones
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("0.bias"):
                nn.init.zeros_(parameter)
        for convolution in [*self.laterals, *self.outputs, self.mask_features]:
            nn.init.kaiming_uniform_(convolution.weight, a=1)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, in_shapes: dict[str, ShapeSpec]) -> dict:
        head = cfg.MODEL.SEM_SEG_HEAD
        missing = [name for name in head.IN_FEATURES if name not in in_shapes]
        if missing:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.IN_FEATURES names {missing}, which the backbone does not "
                f"give; it gives {sorted(in_shapes)}."
            )
        return {
            "in_shapes": {name: in_shapes[name] for name in head.IN_FEATURES},
            "encoder_features": head.DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES,
            "embed_dim": head.CONVS_DIM,
            "mask_dim": head.MASK_DIM,
            "num_layers": head.TRANSFORMER_ENC_LAYERS,
            "layer": {
                "num_heads": cfg.MODEL.MASK_FORMER.NHEADS,
                "num_points": head.DEFORMABLE_TRANSFORMER_ENCODER_N_POINTS,
                "hidden_dim": head.DEFORMABLE_TRANSFORMER_ENCODER_DIM_FEEDFORWARD,
                "dropout": cfg.MODEL.MASK_FORMER.DROPOUT,
            },
            "norm": head.NORM,
        }

    def forward(self, features: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return encoder levels from coarse to fine, each (N, C, h, w), and the mask features.

        Args:
            features: backbone features by name, (N, channels, h, w).
        """
        levels = [
            project(features[name])
            for name, project in zip(self.encoder_features, self.input_projections, strict=True)
        ]
        levels = self._encode(levels)
        finest = levels[-1]
        for name, lateral, output in zip(
            self.finer_features, self.laterals, self.outputs, strict=True
        ):
            detail = lateral(features[name])
            coarse = F.interpolate(finest, detail.shape[-2:], mode="bilinear", align_corners=False)
            finest = output(detail + coarse)
        return levels, self.mask_features(finest)

    def _encode(self, levels: list[Tensor]) -> list[Tensor]:
        sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)
        device = tokens.device
        places = torch.cat(
            [
                self.position_encoding((1, *size), device).flatten(0, 2) + self.level_embed[index]
                for index, size in enumerate(sizes)
            ]
        )
        references = pixel_centres(sizes, device)
        # Each pixel looks around its own place on every level.
        references = references[None, :, None].expand(len(tokens), -1, len(sizes), -1)
        for layer in self.layers:
            tokens = layer(tokens, places.to(tokens.dtype), references, sizes)
        split = tokens.split([height * width for height, width in sizes], 1)
        return [
            part.transpose(1, 2).unflatten(2, size) for part, size in zip(split, sizes, strict=True)
        ]


def pixel_centres(sizes: list[tuple[int, int]], device: torch.device) -> Tensor:
    """Centres of all pixels of all levels as (x, y) in 0..1: (S, 2) float32."""
    centres = []
    for height, width in sizes:
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        centres.append(torch.stack([grid_x, grid_y], -1).flatten(0, 1))
    return torch.cat(centres)

"""Masked-attention decoder: queries read a clip and become tubes.

B clips, T frames, Q queries, C channels, K classes, (h, w) pixels of a feature level, (H, W) of the
mask features.  After Mask2Former (Cheng et al., CVPR 2022), section 3.2, and its video version.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable

from gvseg.modeling.attention import FeedForward, MultiHeadAttention
from gvseg.modeling.label_sets import LabelSets
from gvseg.modeling.look_prior import Likeness
from gvseg.modeling.place_prior import PlacePrior
from gvseg.modeling.position_encoding import SinePositionEncoding
from gvseg.modeling.task_oriented.class_memory import ClassMemory
from gvseg.modeling.task_oriented.cues import Guide
from gvseg.modeling.task_oriented.query_init import (
    GridQueries,
    LearnedQueries,
    QueryRequest,
    TaskOrientedQueries,
)
from gvseg.structures import TubePrediction
from gvseg.tasks import Task, model_task


class DecoderLayer(nn.Module):
    """Cross-attention to the pixels under the query's mask, self-attention, feed-forward."""

    def __init__(
        self, *, embed_dim: int, num_heads: int, hidden_dim: int, dropout: float, pre_norm: bool
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.cross_attention = MultiHeadAttention(
            embed_dim=embed_dim, num_heads=num_heads, dropout=dropout
        )
        self.cross_norm = nn.LayerNorm(embed_dim)
        self.self_attention = MultiHeadAttention(
            embed_dim=embed_dim, num_heads=num_heads, dropout=dropout
        )
        self.self_norm = nn.LayerNorm(embed_dim)
        self.feed_forward = FeedForward(embed_dim=embed_dim, hidden_dim=hidden_dim, dropout=dropout)
        self.feed_forward_norm = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)

    def attend_to_pixels(
        self, queries: Tensor, places: Tensor, keys: Tensor, values: Tensor, blocked: Tensor
    ) -> Tensor:
        """Update queries (B, Q, C) from pixels (B, S, C), except where `blocked` (B, Q, S)."""
        tokens = self.cross_norm(queries) if self.pre_norm else queries
        update = self.cross_attention(tokens + places, keys, values, blocked)
        return self._add(queries, update, self.cross_norm)

    def attend_to_queries(self, queries: Tensor, places: Tensor) -> Tensor:
        """Let queries (B, Q, C) see each other, then transform each."""
        tokens = self.self_norm(queries) if self.pre_norm else queries
        placed = tokens + places
        update = self.self_attention(placed, placed, tokens, None)
        queries = self._add(queries, update, self.self_norm)
        tokens = self.feed_forward_norm(queries) if self.pre_norm else queries
        return self._add(queries, self.feed_forward(tokens), self.feed_forward_norm)

    def _add(self, queries: Tensor, update: Tensor, norm: nn.LayerNorm) -> Tensor:
        queries = queries + self.dropout(update)
        return queries if self.pre_norm else norm(queries)


class PredictionHead(nn.Module):
    """Class logits, mask kernels and, where wanted, embeddings to compare of each query.

    Args:
        embed_dim: of queries.
        mask_dim: of kernels.
        num_columns: of class logits.
        has_link: whether contrast compares, and clips are linked by, an embedding of its own.
            Objects of one class and look are to share their class and kernel but not what links
            them.
    """

    def __init__(
        self, *, embed_dim: int, mask_dim: int, num_columns: int, has_link: bool = False
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim)
        self.classes = nn.Linear(embed_dim, num_columns)
        self.kernel = _perceptron(embed_dim, mask_dim)
        self.link = _perceptron(embed_dim, embed_dim) if has_link else None

    def forward(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised queries (B, Q, C) and the kernels (B, Q, C') of their masks."""
        embeds = self.norm(queries)
        return embeds, self.kernel(embeds)

    def class_logits(self, embeds: Tensor, columns: Tensor | None) -> Tensor:
        """Return class logits of normalised queries (B, Q, C).

        Args:
            embeds: the queries.
            columns: that each clip reads, (B, K+1) int64, -1 for none; None for all of them.
        """
        logits = self.classes(embeds)
        if columns is None:
            return logits
        columns = columns[:, None].expand(-1, logits.shape[1], -1)
        chosen = logits.gather(2, columns.clamp_min(0))
        return chosen.masked_fill(columns < 0, float("-inf"))


def _perceptron(embed_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(embed_dim, embed_dim),
        nn.ReLU(),
        nn.Linear(embed_dim, embed_dim),
        nn.ReLU(),
        nn.Linear(embed_dim, out_dim),
    )


class QueryDecoder(nn.Module):
    """Turn queries into tubes by reading the pixel features level after level.

    Args:
        in_channels: of the three feature levels.
        queries: gives the queries that the first layer starts from; see `query_init`.
        head: `mask_dim`, channels of the mask features, `num_columns` of the class head: one for
            each class and, for each label set, one for "no object"; and `has_link`.
        num_layers: decoder layers; one prediction more is made, of the first queries.
        layer: options of `DecoderLayer`, among them `embed_dim`.
        position_dims: 2 for the encoding of the image model, 3 to encode time too.
        place_masks: let masks fade with the distance from where their queries look; see
            `PlacePrior`. Needs queries that have a place in the clip.
        exact_attention_masks: resample masks, as the official code does, rather than the features
            that they are made from. Equal but for rounding, and slower.
    """

    @configurable
    def __init__(
        self,
        *,
        in_channels: list[int],
        queries: LearnedQueries | GridQueries,
        head: dict,
        num_layers: int,
        layer: dict,
        position_dims: int,
        place_masks: bool = False,
        exact_attention_masks: bool = False,
    ) -> None:
        super().__init__()
        embed_dim = layer["embed_dim"]
        self.exact_attention_masks = exact_attention_masks
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, embed_dim, 1) if channels != embed_dim else nn.Identity()
            for channels in in_channels
        )
        for projection in self.projections:
            if isinstance(projection, nn.Conv2d):
                nn.init.kaiming_uniform_(projection.weight, a=1)
                assert projection.bias is not None
                nn.init.zeros_(projection.bias)
        self.position_encoding = SinePositionEncoding(channels=embed_dim, dims=position_dims)
        self.level_embed = nn.Embedding(len(in_channels), embed_dim)
        self.queries = queries
        self.num_queries = queries.num_queries
        self.place_prior = PlacePrior(embed_dim=embed_dim) if place_masks else None
        self.layers = nn.ModuleList(DecoderLayer(**layer) for _ in range(num_layers))
        self.head = PredictionHead(embed_dim=embed_dim, **head)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        former = cfg.MODEL.MASK_FORMER
        head = cfg.MODEL.SEM_SEG_HEAD
        contrastive = cfg.MODEL.GVSEG.CONTRASTIVE
        task = model_task(cfg.MODEL.GVSEG.TASK)
        is_compared = task is not Task.EVS  # which knows its objects by their queries
        attention_mask = cfg.MODEL.GVSEG.ATTENTION_MASK
        if attention_mask not in ("resample_features", "resample_masks"):
            raise ValueError(
                f"MODEL.GVSEG.ATTENTION_MASK is {attention_mask!r}; "
                "choose resample_features or resample_masks."
            )
        if former.DEC_LAYERS < 1:
            raise ValueError(
                f"MODEL.MASK_FORMER.DEC_LAYERS is {former.DEC_LAYERS}; give 1 or more."
            )
        return {
            "in_channels": [head.CONVS_DIM] * len(head.DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES),
            "queries": _build_queries(cfg),
            "head": {
                "mask_dim": head.MASK_DIM,
                "num_columns": LabelSets.from_config(cfg).num_columns,
                "has_link": contrastive.ENABLED and contrastive.EMBED_HEAD and is_compared,
            },
            "num_layers": former.DEC_LAYERS - 1,
            "layer": {
                "embed_dim": former.HIDDEN_DIM,
                "num_heads": former.NHEADS,
                "hidden_dim": former.DIM_FEEDFORWARD,
                "dropout": former.DROPOUT,
                "pre_norm": former.PRE_NORM,
            },
            "position_dims": _position_dims(cfg),
            "place_masks": cfg.MODEL.GVSEG.PLACE_MASKS,
            "exact_attention_masks": attention_mask == "resample_masks",
        }

    def project(self, levels: list[Tensor]) -> list[Tensor]:
        """Bring levels (B, T, C', h, w) to the channels of the decoder."""
        return [
            projection(level.flatten(0, 1)).unflatten(0, level.shape[:2])
            for projection, level in zip(self.projections, levels, strict=True)
        ]

    def forward(
        self,
        levels: list[Tensor],
        mask_features: Tensor,
        *,
        with_intermediate: bool,
        requests: Sequence[QueryRequest] = (),
        columns: Tensor | None = None,
        guide: Guide | None = None,
        frame_sizes: Tensor | None = None,
        likeness: Likeness | None = None,
    ) -> TubePrediction:
        """Decode tubes from features.

        Args:
            levels: features from coarse to fine, each (B, T, C, h, w), as `project` gives them.
            mask_features: (B, T, C', H, W).
            with_intermediate: also return what each earlier layer predicts, at full size.
            requests: what the queries of each clip are to start from, where `queries` can tell.
            columns: of the class head that each clip reads, see `PredictionHead.class_logits`.
            guide: gives what is added to queries (B, Q, C) before they see each other. It is shown
                what each layer starts from, and the masks (B, Q, T, h, w) at the finest level,
                whatever level the layer reads: objects leave a shape there.
            frame_sizes: rows and columns of the mask features that frames take, (B, 2) float32; by
                default all.
            likeness: of pixels to the objects that the first queries stand for.
        """
        values, keys = self._tokens(levels)
        sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
        finest_sizes = (
            None if frame_sizes is None else frame_sizes * (sizes[-1][0] / mask_features.shape[-2])
        )
        queries, places, centres = self.queries(levels[-1], requests, finest_sizes)
        masks = partial(
            self._masks,
            centres=centres,
            full_size=(mask_features.shape[-2], mask_features.shape[-1]),
            likeness=likeness,
        )
        small_features = (
            None
            if with_intermediate or self.exact_attention_masks
            else [_resample(mask_features, size) for size in sizes]
        )
        intermediate = []
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, DecoderLayer)
            level = index % len(levels)
            embeds, kernels = self.head(queries)
            features = mask_features if small_features is None else small_features[level]
            mask_logits = masks(embeds, kernels, features)
            blocked = attention_mask(masks_at(mask_logits, sizes[level]))
            queries = layer.attend_to_pixels(queries, places, keys[level], values[level], blocked)
            if with_intermediate or guide is not None:
                class_logits = self.head.class_logits(embeds, columns)
                start = TubePrediction(class_logits, mask_logits, embeds)
                if guide is not None:
                    if small_features is not None and level < len(levels) - 1:
                        mask_logits = masks(embeds, kernels, small_features[-1])
                    cue = guide(start, masks_at(mask_logits, sizes[-1]), finest_sizes)
                    queries = queries + cue.to(queries.dtype)
                if with_intermediate:
                    intermediate.append(start)
            queries = layer.attend_to_queries(queries, places)
        embeds, kernels = self.head(queries)
        mask_logits = masks(embeds, kernels, mask_features)
        class_logits = self.head.class_logits(embeds, columns)
        prediction = TubePrediction(class_logits, mask_logits, embeds, frame_sizes, intermediate)
        if self.head.link is not None:
            prediction.query_embeds, prediction.contents = self.head.link(embeds), embeds
        return prediction

    def _tokens(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Flatten levels to (B, T*h*w, C): what is read, and the same with positions added."""
        values, keys = [], []
        for index, level in enumerate(levels):
            tokens = level.permute(0, 1, 3, 4, 2)
            place = self.position_encoding(tuple(tokens.shape[1:4]), level.device)
            tokens = tokens.flatten(1, 3) + self.level_embed.weight[index]
            values.append(tokens)
            keys.append(tokens + place.flatten(0, 2).to(tokens.dtype))
        return values, keys

    def _masks(
        self,
        embeds: Tensor,
        kernels: Tensor,
        features: Tensor,
        *,
        centres: Tensor | None,
        full_size: tuple[int, int],
        likeness: Likeness | None,
    ) -> Tensor:
        """Mask logits (B, Q, T, H, W) of kernels (B, Q, C') on features (B, T, C', H, W)."""
        maps = torch.matmul(kernels[:, None], features.flatten(3))
        maps = maps.unflatten(3, features.shape[-2:]).transpose(1, 2)
        if self.place_prior is not None:
            prior = self.place_prior(embeds, centres, full_size, maps.shape[-2:])
            maps = maps + prior[:, :, None].to(maps.dtype)
        if likeness is not None:
            prior = likeness(embeds, (maps.shape[-2], maps.shape[-1])).to(maps.dtype)
            num_objects = prior.shape[1]
            maps = torch.cat([maps[:, :num_objects] + prior, maps[:, num_objects:]], 1)
        return maps


def _build_queries(cfg: CfgNode) -> LearnedQueries | GridQueries:
    former, gvseg = cfg.MODEL.MASK_FORMER, cfg.MODEL.GVSEG
    sizes = {"num_queries": former.NUM_OBJECT_QUERIES, "embed_dim": former.HIDDEN_DIM}
    if gvseg.QUERY_INIT == "learned":
        if gvseg.PLACE_MASKS:
            raise ValueError(
                "MODEL.GVSEG.PLACE_MASKS needs queries that have a place in the clip; "
                "set MODEL.GVSEG.QUERY_INIT grid."
            )
        return LearnedQueries(**sizes)
    sizes["grid_size"] = gvseg.QUERY_GRID
    if gvseg.QUERY_INIT == "grid":
        return GridQueries(**sizes)
    if gvseg.QUERY_INIT == "task":
        memory = ClassMemory(
            num_classes=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            embed_dim=former.HIDDEN_DIM,
            momentum=gvseg.CLASS_MEMORY_MOMENTUM,
        )
        task = model_task(gvseg.TASK)
        # Of one task that tells objects apart, cells stand beside classes.
        has_learned = task is None or not task.has_instances
        return TaskOrientedQueries(**sizes, memory=memory, has_learned=has_learned)
    raise ValueError(
        f"MODEL.GVSEG.QUERY_INIT is {gvseg.QUERY_INIT!r}; choose learned, grid or task."
    )


def _position_dims(cfg: CfgNode) -> int:
    dims = cfg.MODEL.GVSEG.POSITION_DIMS
    if dims == 0:
        name = cfg.MODEL.MASK_FORMER.TRANSFORMER_DECODER_NAME
        return 2 if name == "MultiScaleMaskedTransformerDecoder" else 3
    return dims


def masks_at(mask_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return mask logits at the size of a level, without gradient: (B, Q, T, h, w)."""
    mask_logits = mask_logits.detach()
    return mask_logits if mask_logits.shape[-2:] == size else _resample(mask_logits, size)


def attention_mask(mask_logits: Tensor) -> Tensor:
    """Pixels that each query may not look at: (B, Q, T, h, w) -> (B, Q, T*h*w) bool."""
    blocked = mask_logits.flatten(2) < 0
    # A query that sees nothing would give NaN after softmax, so let it see all.
    return blocked & ~blocked.all(-1, keepdim=True)


def _resample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, N, M, H, W) to (B, N, M, h, w)."""
    resized = F.interpolate(maps.flatten(0, 1), size, mode="bilinear", align_corners=False)
    return resized.unflatten(0, maps.shape[:2])

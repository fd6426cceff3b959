"""Let the mask of an object that was pointed out rise where pixels look like it.

B clips, T frames, K objects, P points, C channels, D channels of looks, (h, w) pixels of a map.
Of our own, in no paper of this field on queries; trackers by pixels match in this way.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from gvseg.modeling.padding import image_size, in_frame
from gvseg.structures import ObjectFeatures
from gvseg.tasks import Task, model_task

SCALE = 40.0  # of cosines at first
THRESHOLD = 0.5  # cosine at first with what is outside, where nothing is known of it
GAIN = -1.0  # softplus of it multiplies the logits at first
COMPARED_AT_ONCE = 8  # objects, so that at inference memory does not grow with all of them


class LookPrior(nn.Module):
    r"""Logits \(\max_{in} s \cos - \max_{out} s \cos\), smooth maxima over points of an object.

    One query has to tell all parts of an object, such as a rider and the horse, from all that is
    around it, also of kinds that training never showed. Here pixels are compared with single
    points inside the object, and with points outside of it, where it was last known. Each query
    says how much that counts.

    Looks are made of the finest level that queries are read from and of a map of the backbone,
    which knows more kinds of things than the few that the rest was trained on.

    Args:
        embed_dim: C, of queries.
        feature: name of the map of the backbone.
        in_channels: of that level and of this map, each of which counts alike.
        look_dim: D, for both together.
    """

    def __init__(
        self, *, embed_dim: int, feature: str, in_channels: Sequence[int], look_dim: int = 128
    ) -> None:
        super().__init__()
        self.feature = feature
        each = look_dim // len(in_channels)
        # Without bias, so that cosines are nearly those before at first.
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, each, 1, bias=False) for channels in in_channels
        )
        for weight in self.projections.parameters():
            nn.init.orthogonal_(weight)
        self.log_scale = nn.Parameter(torch.tensor(SCALE).log())
        self.threshold = nn.Parameter(torch.tensor(THRESHOLD))
        self.gain = nn.Linear(embed_dim, 1)
        nn.init.zeros_(self.gain.weight)
        nn.init.constant_(self.gain.bias, GAIN)

    @classmethod
    def build(cls, cfg: CfgNode, shapes: dict[str, ShapeSpec]) -> LookPrior | None:
        """Return the one that a config asks for, or None.

        Args:
            cfg: the whole config.
            shapes: of the maps of the backbone, of which that of stride 16 is used.
        """
        gvseg = cfg.MODEL.GVSEG
        if not gvseg.LOOK_MASKS or model_task(gvseg.TASK) not in (None, Task.EVS):
            return None
        feature = next(name for name, shape in shapes.items() if shape.stride == 16)
        embed_dim = cfg.MODEL.MASK_FORMER.HIDDEN_DIM
        return cls(
            embed_dim=embed_dim,
            feature=feature,
            in_channels=[embed_dim, shapes[feature].channels],
        )

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """Return what pixels look like (B, T, D, h, w) float32, of the size of the first map.

        Args:
            maps: (B, T, channels, h', w') over the same frames.
        """
        batch, size = maps[0].shape[:2], maps[0].shape[-2:]
        looks = []
        for project, part in zip(self.projections, maps, strict=True):
            projected = F.normalize(project(part.flatten(0, 1)).float(), dim=1)
            looks.append(F.interpolate(projected, size, mode="bilinear", align_corners=False))
        return torch.cat(looks, 1).unflatten(0, batch)

    def compare(self, features: Tensor, looks: Tensor) -> Tensor:
        """Return how much more pixels look like inside than like outside, (K, T, h, w) float32.

        Args:
            features: (T, D, h, w) of a clip.
            looks: (K, 2, P, D) of points inside and outside, NaN where a point is missing.
        """
        num_frames, _, height, width = features.shape
        with torch.autocast(features.device.type, enabled=False):
            pixels = F.normalize(features.float(), dim=1).transpose(0, 1).flatten(1)  # (D, T*h*w)
            scale = self.log_scale.exp()
            maps = []
            for part in looks.float().split(COMPARED_AT_ONCE):
                is_known = ~part.isnan().any(-1)
                points = F.normalize(part.where(is_known[..., None], 0.0), dim=3)
                inside, outside = (
                    _soft_maximum(scale * (points[:, side] @ pixels), is_known[:, side])
                    for side in (0, 1)
                )
                has_outside = is_known[:, 1].any(1)[:, None]
                maps.append(inside - outside.where(has_outside, scale * self.threshold))
            return torch.cat(maps).view(-1, num_frames, height, width)

    def forward(
        self, features: Tensor, objects: Sequence[ObjectFeatures | None]
    ) -> Likeness | None:
        """Return how much the pixels of clips look like their objects, None without any.

        Args:
            features: of B clips, (B, T, D, h, w).
            objects: of each.
        """
        looks = [None if part is None else part.looks for part in objects]
        most = max((len(part) for part in looks if part is not None), default=0)
        if most == 0:
            return None
        num_clips, num_frames, _, *size = features.shape
        maps = features.new_zeros(num_clips, most, num_frames, *size, dtype=torch.float32)
        for index, part in enumerate(looks):
            if part is not None and len(part):
                maps[index, : len(part)] = self.compare(features[index], part)
        return Likeness(maps, self.gain)


class Likeness:
    """How much pixels look like the K objects that the first queries of B clips stand for.

    Args:
        maps: as `LookPrior.compare` gives them, (B, K, T, h, w); 0 where a clip has fewer objects.
        gain: tells from queries how much that counts.
    """

    def __init__(self, maps: Tensor, gain: nn.Module) -> None:
        self.maps = maps
        self.gain = gain
        self._at_size: dict[tuple[int, int], Tensor] = {}  # each of them is asked for repeatedly

    def __call__(self, embeds: Tensor, size: tuple[int, int]) -> Tensor:
        """Return what to add to the mask logits of the objects, (B, K, T, h, w) float32.

        Args:
            embeds: of all queries, (B, Q, C).
            size: (h, w).
        """
        if size not in self._at_size:
            flat = F.interpolate(
                self.maps.flatten(0, 1), size, mode="bilinear", align_corners=False
            )
            self._at_size[size] = flat.unflatten(0, self.maps.shape[:2])
        with torch.autocast(embeds.device.type, enabled=False):
            gain = F.softplus(self.gain(embeds[:, : self.maps.shape[1]].float()))
            return gain[..., None, None] * self._at_size[size]


def looks_of_masks(
    features: Tensor, masks: Tensor, num_points: int, frame_size: Tensor | None = None
) -> Tensor:
    """Return looks at points spread evenly inside and outside of masks, (K, 2, P, D).

    They are NaN for masks without a pixel, and outside of those that leave none.

    Args:
        features: (D, h', w') of a frame.
        masks: (K, h, w) bool, over the same frame.
        num_points: P.
        frame_size: rows and columns of the features that the frame takes, (2,); by default all.
    """
    covered = F.adaptive_avg_pool2d(masks[:, None].float(), image_size(features))[:, 0].flatten(1)
    # A mask that fills no pixel by half has the pixels that it fills the most.
    is_inside = covered >= covered.amax(1, keepdim=True).clamp(1e-6, 0.5)
    is_outside = (covered == 0) & is_inside.any(1, keepdim=True)
    if frame_size is not None:
        is_outside &= in_frame(frame_size, image_size(features)).flatten()
    read = [
        _spread(features.float().flatten(1).T, chosen, num_points)
        for chosen in (is_inside, is_outside)
    ]
    return torch.stack(read, 1)


def _spread(pixels: Tensor, chosen: Tensor, num_points: int) -> Tensor:
    """Pixels (N, D) at even ranks among the chosen ones (K, N): (K, P, D), NaN where none is."""
    # By counting rather than by `nonzero`, which would wait for the device.
    counted = chosen.cumsum(1)
    count = counted[:, -1:]
    shares = (torch.arange(num_points, device=pixels.device) + 0.5) / num_points
    ranks = (shares * count).floor() + 1
    positions = torch.searchsorted(counted.float(), ranks).clamp_max(len(pixels) - 1)
    return pixels[positions].where((count > 0)[..., None], float("nan"))


def _soft_maximum(values: Tensor, is_known: Tensor) -> Tensor:
    """Log of the mean of exponentials of known ones: (K, P, N) and (K, P) -> (K, N)."""
    known = is_known[..., None]
    # Where none is known all are taken, so that nothing is infinite; what comes out is not used.
    values = values.masked_fill(~known & known.any(1, keepdim=True), float("-inf"))
    return values.logsumexp(1) - is_known.sum(1, keepdim=True).clamp_min(1).log()

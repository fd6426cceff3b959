"""A video of coloured rectangles and a segmenter that finds each colour: known truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gvseg.structures import FrameSegments, TubePrediction
from gvseg.visualization import ClassLegend

# Query q finds colour q; each is a class of its own unless `classes` says otherwise.
COLORS = ((250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (250, 0, 250))
NAMES = ("red", "green", "blue", "yellow", "magenta")
LEGEND = ClassLegend(NAMES, (True, True, True, False, False), COLORS)
STRIDE = 4
DIVISOR = 32

Box = tuple[int, int, int, int]  # top, left, bottom, right


class ColorSegmenter(nn.Module):
    """Finds where a frame has each colour of `COLORS`: a perfect prediction with known embeddings.

    Args:
        shuffle_seed: permute the queries of every call, as a network may.
        fold_frames: return T clips of one frame, as with `TUBE: frame`.
        classes: class of each colour.
    """

    def __init__(
        self,
        *,
        shuffle_seed: int | None = None,
        fold_frames: bool = False,
        classes: tuple[int, ...] = tuple(range(len(COLORS))),
    ) -> None:
        super().__init__()
        # A name that checkpoints of the real model have, so that this one can be saved as such.
        self.query_decoder = nn.Embedding.from_pretrained(torch.tensor(COLORS).float())
        self.classes = classes
        self.fold_frames = fold_frames
        self.generator = (
            None if shuffle_seed is None else torch.Generator().manual_seed(shuffle_seed)
        )
        self.windows_seen: list[int] = []

    @property
    def device(self) -> torch.device:
        return self.query_decoder.weight.device

    def preprocess(self, clips: list[list[Tensor]]) -> Tensor:
        frames = torch.stack([torch.stack(clip) for clip in clips]).float()
        height, width = frames.shape[-2:]
        return F.pad(frames, (0, -width % DIVISOR, 0, -height % DIVISOR))

    def segment_clip(self, frames: Tensor, requests: Sequence = ()) -> TubePrediction:
        self.windows_seen.append(frames.shape[1])
        if self.fold_frames:
            frames = frames.flatten(0, 1)[:, None]
        colors = self.query_decoder.weight[None, :, None, :, None, None]
        distance = (frames[:, None] - colors).abs().amax(3)
        is_color = (distance < 50).float()
        cells = F.avg_pool3d(is_color, (1, STRIDE, STRIDE))  # (B, Q, T, H/4, W/4)
        found = cells.flatten(2).amax(2) > 0.5
        num_queries = len(COLORS)
        one_hot = F.one_hot(torch.tensor(self.classes), num_queries + 1).float()
        nothing = F.one_hot(torch.tensor(num_queries), num_queries + 1).float()
        class_logits = torch.where(found[..., None], one_hot, nothing) * 20
        embeds = torch.eye(num_queries).expand(len(frames), -1, -1)
        order = (
            torch.arange(num_queries)
            if self.generator is None
            else torch.randperm(num_queries, generator=self.generator)
        )
        return TubePrediction(class_logits[:, order], (cells * 20 - 10)[:, order], embeds[:, order])


def paint(size: tuple[int, int], boxes: dict[int, Box]) -> np.ndarray:
    """Return a black frame (H, W, 3) uint8 with a box of each colour, later ones in front."""
    image = np.zeros((*size, 3), dtype=np.uint8)
    for color, (top, left, bottom, right) in boxes.items():
        image[top:bottom, left:right] = COLORS[color]
    return image


def crossing_video(num_frames: int, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """Return frames in which a red and a green box walk through each other, a blue one stands."""
    frames = []
    for t in range(num_frames):
        step = 4 * (t % 16)
        boxes = {0: (8, step, 24, step + 16), 1: (20, 64 - step, 36, 80 - step)}
        frames.append(paint(size, {**boxes, 2: (44, 40, 60, 56)}))
    return frames


def true_segments(image: np.ndarray, frame_index: int, *, as_map: bool = False) -> FrameSegments:
    """Return the segments of a painted frame, as masks or as a map; identity = class + 1."""
    masks = np.stack([(image == color).all(-1) for color in COLORS])
    classes = np.flatnonzero(masks.any((1, 2)))
    index_map = np.full(image.shape[:2], -1, dtype=np.int16)
    for position, class_index in enumerate(classes):
        index_map[masks[class_index]] = position
    return FrameSegments(
        frame_index=frame_index,
        ids=classes + 1,
        classes=classes,
        scores=np.linspace(0.9, 0.6, len(classes)).astype(np.float32),
        masks=None if as_map else masks[classes],
        index_map=index_map if as_map else None,
    )

"""Deterministic transforms that detectron2 lacks or does differently; (H, W) pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from fvcore.transforms.transform import CropTransform, Transform, TransformList
from PIL import Image

from detectron2.data.transforms import ResizeTransform

PAD_VALUE = 128  # grey of pixels outside the frame, near the mean that models subtract


class ExactResizeTransform(ResizeTransform):
    """detectron2's resize, faster for frames, with labels of any integer type sampled at centres.

    Frames are filtered as Pillow does it, by vector instructions where there are any; rounding
    differs by 1 of 255 in some pixels, mostly one or two of a hundred. Labels detectron2 samples at
    pixel centres only where they are uint8; wider types, which id maps need, it shifts by up to
    half an output pixel.
    """

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        if (
            img.dtype != np.uint8
            or img.ndim != 3
            or (interp or self.interp) != Image.Resampling.BILINEAR
        ):
            return super().apply_image(img, interp)
        # PyTorch reads what is contiguous and writeable.
        pixels = torch.from_numpy(np.require(img, requirements=["C", "W"])).permute(2, 0, 1)
        resized = F.interpolate(
            pixels[None], (self.new_h, self.new_w), mode="bilinear", antialias=True
        )
        return resized[0].permute(1, 2, 0).numpy()

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        size = (self.new_w, self.new_h)
        return cv2.resize(segmentation, size, interpolation=cv2.INTER_NEAREST_EXACT)


class ResizedCropTransform(Transform):
    """Resize, then crop, with work on the pixels of the crop alone.

    Pillow keeps the window to resize in single precision, so that a few pixels of a hundred differ
    from the two steps by a level or, in noise, two of 255.
    """

    def __init__(self, resize: ExactResizeTransform, crop: CropTransform) -> None:
        super().__init__()
        self.steps = TransformList([resize, crop])
        self.resize = resize
        self.crop = crop

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        across, down = self.resize.w / self.resize.new_w, self.resize.h / self.resize.new_h
        left, top = self.crop.x0 * across, self.crop.y0 * down
        # Rounding must not leave the frame.
        right = min(left + self.crop.w * across, self.resize.w)
        bottom = min(top + self.crop.h * down, self.resize.h)
        size = (self.crop.w, self.crop.h)
        window = (left, top, right, bottom)
        return np.asarray(Image.fromarray(img).resize(size, self.resize.interp, box=window))

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return self.steps.apply_segmentation(segmentation)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return self.steps.apply_coords(coords)


def fuse(transforms: Sequence[Transform]) -> list[Transform]:
    """Return transforms that do the same in fewer steps: each resize takes up a crop behind it."""
    fused: list[Transform] = []
    for transform in TransformList(list(transforms)).transforms:
        last = fused[-1] if fused else None
        if isinstance(transform, CropTransform) and isinstance(last, ExactResizeTransform):
            fused[-1] = ResizedCropTransform(last, transform)
        else:
            fused.append(transform)
    return fused


class AffineTransform(Transform):
    """Rotate, scale and shift within the frame, which keeps its size.

    Args:
        matrix: (2, 3) float, takes continuous coordinates (pixel centres at .5) to new ones.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        super().__init__()
        self.matrix = matrix
        # cv2 counts from pixel centres: p' = A (p + .5) + b - .5
        self.pixel_matrix = matrix.copy()
        self.pixel_matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        return self._warp(img, cv2.INTER_LINEAR, (PAD_VALUE,) * 3)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return self._warp(segmentation, cv2.INTER_NEAREST, (0,))

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return coords @ self.matrix[:, :2].T + self.matrix[:, 2]

    def _warp(self, image: np.ndarray, interpolation: int, fill: tuple[int, ...]) -> np.ndarray:
        height, width = image.shape[:2]
        return cv2.warpAffine(
            image, self.pixel_matrix, (width, height), flags=interpolation, borderValue=fill
        )


@dataclass(frozen=True)
class Photometry:
    """How the colours of a whole clip change; the default changes nothing."""

    gain: float = 1.0  # contrast about black
    offset: float = 0.0  # brightness, of 255
    saturation: float = 1.0
    hue: float = 0.0  # degrees


class PhotometricTransform(Transform):
    """Change brightness and contrast, then saturation and hue; labels stay."""

    def __init__(self, photometry: Photometry) -> None:
        super().__init__()
        self.photometry = photometry

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        levels = np.arange(256)
        change = self.photometry
        if change.gain != 1 or change.offset != 0:
            img = cv2.LUT(img, _to_uint8(change.gain * levels + change.offset))
        if change.saturation == 1 and change.hue == 0:
            return img
        # OpenCV's full-range hue: 256 levels for 360 degrees.
        tables = np.stack(
            [
                (levels + round(change.hue * 256 / 360)) % 256,
                _to_uint8(change.saturation * levels),
                levels,
            ],
            axis=-1,
        ).astype(np.uint8)
        hsv = cv2.LUT(cv2.cvtColor(img, cv2.COLOR_RGB2HSV_FULL), tables[None])
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return segmentation

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return coords


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)

"""Predictions of the official Mask2Former, image and video, from its own weights.

The tensors in `tests/data` were computed by the authors' code on random weights; keys `w/...` are
their state dict, the rest inputs and outputs of every decoder layer.
"""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from detectron2.modeling import build_model

import gvseg.modeling  # noqa: F401  registers the meta-architecture
from gvseg.checkpoint import load_weights
from gvseg.config import load_config

DATA = Path(__file__).parents[1] / "data"
BASE = Path(__file__).parents[2] / "configs" / "base" / "mask2former_r50.yaml"
NARROW = [
    "MODEL.DEVICE", "cpu",
    "MODEL.RESNETS.STEM_OUT_CHANNELS", "4",
    "MODEL.RESNETS.WIDTH_PER_GROUP", "4",
    "MODEL.RESNETS.RES2_OUT_CHANNELS", "8",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "12",
    "MODEL.SEM_SEG_HEAD.CONVS_DIM", "32",
    "MODEL.SEM_SEG_HEAD.MASK_DIM", "32",
    "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS", "2",
    "MODEL.MASK_FORMER.HIDDEN_DIM", "32",
    "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "12",
    "MODEL.MASK_FORMER.NHEADS", "4",
    "MODEL.MASK_FORMER.DIM_FEEDFORWARD", "48",
    "MODEL.MASK_FORMER.DEC_LAYERS", "4",
]  # fmt: skip


def load_reference(name, tmp_path, *overrides):
    """Return the reference arrays and a model with their weights, loaded as a user's file is."""
    arrays = dict(np.load(DATA / f"{name}.npz"))
    weights = {key[2:]: value for key, value in arrays.items() if key.startswith("w/")}
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "Mask2Former"}))
    model = build_model(load_config(BASE, [*NARROW, *overrides])).eval()
    report = load_weights(model, path)
    assert report.missing == report.unexpected == []
    return arrays, model


def frames_of(arrays, model, clip_length):
    frames = torch.from_numpy(arrays["x"])
    clips = [list(clip) for clip in frames.split(clip_length)]
    return model.preprocess(clips)


def assert_close(ours, reference):
    reference = torch.from_numpy(reference)
    scale = reference.abs().max()
    assert (ours - reference).abs().max() <= 1e-4 * scale


CASES = [("image_r50", 1, "2"), ("video_r50", 3, "3")]


@pytest.mark.parametrize(("name", "clip_length", "dims"), CASES)
@torch.inference_mode()
def test_every_layer_gives_the_official_numbers(name, clip_length, dims, tmp_path):
    arrays, model = load_reference(name, tmp_path, "MODEL.GVSEG.POSITION_DIMS", dims)
    frames = frames_of(arrays, model, clip_length)
    prediction = model.segment(frames, with_intermediate=True)
    layers = [*prediction.intermediate, prediction]
    assert len(layers) == 4
    for index, layer in enumerate(layers):
        last = index == 3
        logits = arrays["logits" if last else f"aux/{index}/pred_logits"]
        masks = arrays["masks" if last else f"aux/{index}/pred_masks"]
        assert_close(layer.class_logits, logits)
        assert_close(layer.mask_logits.reshape(masks.shape), masks)


@pytest.mark.parametrize(("name", "clip_length", "dims"), CASES)
@pytest.mark.parametrize("attention_mask", ["resample_features", "resample_masks"])
@torch.inference_mode()
def test_inference_gives_the_official_numbers(name, clip_length, dims, attention_mask, tmp_path):
    arrays, model = load_reference(
        name, tmp_path, "MODEL.GVSEG.POSITION_DIMS", dims,
        "MODEL.GVSEG.ATTENTION_MASK", attention_mask,
    )  # fmt: skip
    prediction = model.segment_clip(frames_of(arrays, model, clip_length))
    assert_close(prediction.class_logits, arrays["logits"])
    assert_close(prediction.mask_logits.reshape(arrays["masks"].shape), arrays["masks"])


@torch.inference_mode()
def test_backbone_gives_the_official_features(tmp_path):
    arrays, model = load_reference("image_r50", tmp_path)
    features = model.backbone(frames_of(arrays, model, 1)[:, 0])
    for name in ("res2", "res3", "res4", "res5"):
        assert_close(features[name], arrays[f"feat/{name}"])


@torch.inference_mode()
def test_clip_of_one_frame_equals_the_image_path(tmp_path):
    """Frames folded into the batch or clips of one frame: the same numbers to the last bit."""
    arrays, clip_model = load_reference("image_r50", tmp_path, "MODEL.GVSEG.POSITION_DIMS", "2")
    frame_model = load_reference(
        "image_r50", tmp_path, "MODEL.GVSEG.POSITION_DIMS", "2", "MODEL.GVSEG.TUBE", "frame"
    )[1]
    by_clip = clip_model.segment_clip(frames_of(arrays, clip_model, 1))
    by_frame = frame_model.segment_clip(frames_of(arrays, frame_model, 2))
    assert torch.equal(by_clip.class_logits, by_frame.class_logits)
    assert torch.equal(by_clip.mask_logits, by_frame.mask_logits)
    assert torch.equal(by_clip.query_embeds, by_frame.query_embeds)


@torch.inference_mode()
def test_encoding_of_time_makes_no_difference_to_one_frame(tmp_path):
    """At T=1 it adds one constant to all keys, which the softmax takes out again."""
    predictions = []
    for dims in ("2", "3"):
        arrays, model = load_reference("image_r50", tmp_path, "MODEL.GVSEG.POSITION_DIMS", dims)
        predictions.append(model.segment_clip(frames_of(arrays, model, 1)))
    assert_close(predictions[1].class_logits, predictions[0].class_logits.numpy())
    assert_close(predictions[1].mask_logits, predictions[0].mask_logits.numpy())

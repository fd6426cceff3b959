"""A Hugging Face Mask2Former of random weights gives its own numbers through our model."""

from pathlib import Path

import pytest
import torch

from detectron2.modeling import build_model

import gvseg.modeling  # noqa: F401  registers the meta-architecture
from gvseg.checkpoint import load_weights
from gvseg.config import load_config

transformers = pytest.importorskip("transformers")

CONFIGS = Path(__file__).parents[2] / "configs" / "base"
COMMON = [
    "MODEL.DEVICE", "cpu",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "7",
    "MODEL.SEM_SEG_HEAD.CONVS_DIM", "32",
    "MODEL.SEM_SEG_HEAD.MASK_DIM", "32",
    "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS", "2",
    "MODEL.SEM_SEG_HEAD.DEFORMABLE_TRANSFORMER_ENCODER_DIM_FEEDFORWARD", "40",
    "MODEL.MASK_FORMER.HIDDEN_DIM", "32",
    "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "9",
    "MODEL.MASK_FORMER.NHEADS", "4",
    "MODEL.MASK_FORMER.DIM_FEEDFORWARD", "48",
    "MODEL.MASK_FORMER.DEC_LAYERS", "5",
    "MODEL.GVSEG.POSITION_DIMS", "2",
]  # fmt: skip
SWIN = [
    "MODEL.SWIN.EMBED_DIM", "24", "MODEL.SWIN.DEPTHS", "[2, 2, 2, 1]",
    "MODEL.SWIN.NUM_HEADS", "[2, 3, 4, 6]", "MODEL.SWIN.WINDOW_SIZE", "5",
]  # fmt: skip
RESNET = ["MODEL.RESNETS.RES2_OUT_CHANNELS", "256"]
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def hugging_face_swin():
    return "mask2former_swin_t.yaml", SWIN, transformers.SwinConfig(
        embed_dim=24, depths=[2, 2, 2, 1], num_heads=[2, 3, 4, 6], window_size=5, image_size=160,
        drop_path_rate=0.0, out_features=STAGES,
    )  # fmt: skip


def hugging_face_resnet():
    return (
        "mask2former_r50.yaml",
        RESNET,
        transformers.ResNetConfig(
            depths=[3, 4, 6, 3], layer_type="bottleneck", out_features=STAGES
        ),
    )


def build_peer(backbone):
    torch.manual_seed(1)
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32,
        encoder_feedforward_dim=40, encoder_layers=2, decoder_layers=5, num_attention_heads=4,
        dim_feedforward=48, num_queries=9, num_labels=7,
    )  # fmt: skip
    peer = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            # Zeros and ones would hide a swapped bias or norm; offsets must move the points.
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "sampling_offsets" in name or "attention_weights" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
        for name, buffer in peer.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.8 + 0.4 * torch.rand_like(buffer))
    return peer


def save_safetensors(peer, folder):
    peer.save_pretrained(folder)
    return folder


def save_state_dict(peer, folder):
    torch.save(peer.state_dict(), folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize("save", [save_safetensors, save_state_dict])
@pytest.mark.parametrize("backbone", [hugging_face_swin, hugging_face_resnet])
def test_converted_model_agrees(backbone, save, tmp_path):
    config_file, overrides, backbone_config = backbone()
    peer = build_peer(backbone_config)
    model = build_model(load_config(CONFIGS / config_file, [*COMMON, *overrides])).eval()
    report = load_weights(model, save(peer, tmp_path))
    assert report.origin == "Hugging Face Mask2Former"
    assert report.missing == report.unexpected == []

    # 160 x 224 is no multiple of the windows at any stage, so padding is exercised.
    frames = torch.randn(2, 3, 160, 224)
    with torch.inference_mode():
        theirs = peer(pixel_values=frames, output_auxiliary_logits=True)
        ours = model.segment(frames[:, None], with_intermediate=True)
    assert_close(ours.class_logits, theirs.class_queries_logits)
    assert_close(ours.mask_logits[:, :, 0], theirs.masks_queries_logits)
    for layer, expected in zip(ours.intermediate, theirs.auxiliary_logits, strict=True):
        assert_close(layer.class_logits, expected["class_queries_logits"])
        assert_close(layer.mask_logits[:, :, 0], expected["masks_queries_logits"])


def assert_close(ours, reference):
    assert (ours - reference).abs().max() <= 1e-4 * reference.abs().max()

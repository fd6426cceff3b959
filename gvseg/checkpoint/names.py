"""What parameters are called elsewhere, and what we call them.

Each table is applied from top to bottom, every rule to the result of those before it. A target of
"" drops the tensor.  `#i` at the end marks one part of several that are stacked to one tensor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

Rules = list[tuple[str, str]]

_SWIN_EXTRAS: Rules = [(r".*\.(relative_position_index|attn_mask)$", "")]  # made from the sizes

MASK2FORMER: Rules = [
    *_SWIN_EXTRAS,
    (r"^(criterion\.empty_weight|pixel_mean|pixel_std)$", ""),
    (r"^sem_seg_head\.pixel_decoder\.", "pixel_decoder."),
    (r"^sem_seg_head\.predictor\.", "query_decoder."),
    (r"^pixel_decoder\.input_proj\.", "pixel_decoder.input_projections."),
    (r"^pixel_decoder\.transformer\.level_embed$", "pixel_decoder.level_embed"),
    (r"^pixel_decoder\.transformer\.encoder\.layers\.", "pixel_decoder.layers."),
    (r"^(pixel_decoder\.layers\.\d+)\.self_attn\.", r"\1.attention."),
    (r"^(pixel_decoder\.layers\.\d+)\.norm1\.", r"\1.attention_norm."),
    (r"^(pixel_decoder\.layers\.\d+)\.norm2\.", r"\1.feed_forward_norm."),
    (r"^(pixel_decoder\.layers\.\d+)\.(linear[12])\.", r"\1.feed_forward.\2."),
    (r"^pixel_decoder\.adapter_1\.", "pixel_decoder.laterals.0."),
    (r"^pixel_decoder\.layer_1\.", "pixel_decoder.outputs.0."),
    (r"^query_decoder\.transformer_(cross|self)_attention_layers\.(\d+)\.(?:self|multihead)_attn\.",
     r"query_decoder.layers.\2.\1_attention."),
    (r"^query_decoder\.transformer_(cross|self)_attention_layers\.(\d+)\.norm\.",
     r"query_decoder.layers.\2.\1_norm."),
    (r"^query_decoder\.transformer_ffn_layers\.(\d+)\.(linear[12])\.",
     r"query_decoder.layers.\1.feed_forward.\2."),
    (r"^query_decoder\.transformer_ffn_layers\.(\d+)\.norm\.",
     r"query_decoder.layers.\1.feed_forward_norm."),
    (r"^query_decoder\.decoder_norm\.", "query_decoder.head.norm."),
    (r"^query_decoder\.(query_feat|static_query)\.", "query_decoder.queries.content."),
    (r"^query_decoder\.query_embed\.", "query_decoder.queries.place."),
    (r"^query_decoder\.input_proj\.", "query_decoder.projections."),
    (r"^query_decoder\.class_embed\.", "query_decoder.head.classes."),
    (r"^query_decoder\.mask_embed\.layers\.0\.", "query_decoder.head.kernel.0."),
    (r"^query_decoder\.mask_embed\.layers\.1\.", "query_decoder.head.kernel.2."),
    (r"^query_decoder\.mask_embed\.layers\.2\.", "query_decoder.head.kernel.4."),
]  # fmt: skip

_HF_SWIN: Rules = [
    # Saved models have neither the `swin.` nor the `model.` that some versions put in between.
    (r"^backbone\.(?:swin|model)\.", "backbone."),
    (r"^backbone\.layernorm\..*", ""),  # of the classifier
    (r"^backbone\.embeddings\.patch_embeddings\.projection\.", "backbone.patch_embed.proj."),
    (r"^backbone\.embeddings\.norm\.", "backbone.patch_embed.norm."),
    (r"^backbone\.encoder\.layers\.", "backbone.layers."),
    (r"\.attention\.(?:self\.)?(?:q_proj|query)\.(weight|bias)$", r".attn.qkv.\1#0"),
    (r"\.attention\.(?:self\.)?(?:k_proj|key)\.(weight|bias)$", r".attn.qkv.\1#1"),
    (r"\.attention\.(?:self\.)?(?:v_proj|value)\.(weight|bias)$", r".attn.qkv.\1#2"),
    (r"\.attention\.(?:o_proj|output\.dense)\.", ".attn.proj."),
    (r"\.attention\.(?:self\.|relative_position_bias\.)(relative_position_bias_table)$",
     r".attn.\1"),
    (r"^(backbone\..*)\.layernorm_before\.", r"\1.norm1."),
    (r"^(backbone\..*)\.layernorm_after\.", r"\1.norm2."),
    (r"^(backbone\..*)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"^(backbone\.layers\..*)\.output\.dense\.", r"\1.mlp.fc2."),
    *[(rf"^backbone\.hidden_states_norms\.stage{index + 1}\.", f"backbone.norm{index}.")
      for index in range(4)],
]  # fmt: skip

_HF_RESNET: Rules = [
    (r"^backbone\.embedder\.embedder\.", "backbone.stem.conv1."),
    *[(rf"^backbone\.encoder\.stages\.{index}\.layers\.", f"backbone.res{index + 2}.")
      for index in range(4)],
    *[(rf"^(backbone\.res\d\.\d+)\.layer\.{index}\.", rf"\1.conv{index + 1}.")
      for index in range(3)],
    (r"^(backbone\..*)\.convolution\.", r"\1."),
    (r"^(backbone\..*)\.normalization\.num_batches_tracked$", ""),
    (r"^(backbone\..*)\.normalization\.", r"\1.norm."),
]  # fmt: skip

HUGGING_FACE: Rules = [
    (r"^criterion\.empty_weight$", ""),
    (r".*\.relative_position_index$", ""),
    (r"^model\.pixel_level_module\.encoder\.", "backbone."),
    *_HF_SWIN,
    *_HF_RESNET,
    (r"^model\.pixel_level_module\.decoder\.", "pixel_decoder."),
    (r"^pixel_decoder\.encoder\.layers\.", "pixel_decoder.layers."),
    (r"^(pixel_decoder\.layers\.\d+)\.self_attn\.", r"\1.attention."),
    (r"^(pixel_decoder\.layers\.\d+)\.self_attn_layer_norm\.", r"\1.attention_norm."),
    (r"^pixel_decoder\.adapter_1\.0\.", "pixel_decoder.laterals.0."),
    (r"^pixel_decoder\.adapter_1\.1\.", "pixel_decoder.laterals.0.norm."),
    (r"^pixel_decoder\.layer_1\.0\.", "pixel_decoder.outputs.0."),
    (r"^pixel_decoder\.layer_1\.1\.", "pixel_decoder.outputs.0.norm."),
    (r"^pixel_decoder\.mask_projection\.", "pixel_decoder.mask_features."),
    (r"^model\.transformer_module\.", "query_decoder."),
    (r"^query_decoder\.queries_features\.", "query_decoder.queries.content."),
    (r"^query_decoder\.queries_embedder\.", "query_decoder.queries.place."),
    (r"^query_decoder\.input_projections\.", "query_decoder.projections."),
    (r"^query_decoder\.decoder\.layernorm\.", "query_decoder.head.norm."),
    (r"^query_decoder\.decoder\.mask_predictor\.mask_embedder\.0\.0\.",
     "query_decoder.head.kernel.0."),
    (r"^query_decoder\.decoder\.mask_predictor\.mask_embedder\.1\.0\.",
     "query_decoder.head.kernel.2."),
    (r"^query_decoder\.decoder\.mask_predictor\.mask_embedder\.2\.0\.",
     "query_decoder.head.kernel.4."),
    (r"^query_decoder\.decoder\.layers\.", "query_decoder.layers."),
    (r"\.self_attn\.q_proj\.(weight|bias)$", r".self_attention.in_proj_\1#0"),
    (r"\.self_attn\.k_proj\.(weight|bias)$", r".self_attention.in_proj_\1#1"),
    (r"\.self_attn\.v_proj\.(weight|bias)$", r".self_attention.in_proj_\1#2"),
    (r"^(query_decoder\.layers\.\d+)\.(self|cross)_attn\.", r"\1.\2_attention."),
    (r"^(query_decoder\.layers\.\d+)\.(self|cross)_attn_layer_norm\.", r"\1.\2_norm."),
    (r"^((?:pixel|query)_decoder\.layers\.\d+)\.final_layer_norm\.", r"\1.feed_forward_norm."),
    (r"^((?:pixel|query)_decoder\.layers\.\d+)\.fc([12])\.", r"\1.feed_forward.linear\2."),
    (r"^class_predictor\.", "query_decoder.head.classes."),
]  # fmt: skip

# Backbones alone: detectron2's own ResNets, the published Swin models, torchvision's ResNets.
DETECTRON2_RESNET: Rules = [(r"^fc1000\..*", ""), (r"^", "backbone.")]
SWIN: Rules = [
    *_SWIN_EXTRAS,
    (r"^(head|norm)\..*", ""),
    (r"^(?!backbone\.)", "backbone."),
]
TORCHVISION_RESNET: Rules = [
    (r"^fc\..*", ""),
    (r".*\.num_batches_tracked$", ""),
    (r"^conv1\.", "backbone.stem.conv1."),
    (r"^bn1\.", "backbone.stem.conv1.norm."),
    *[(rf"^layer{index}\.", f"backbone.res{index + 1}.") for index in range(1, 5)],
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
]
OURS: Rules = []


@dataclass(frozen=True)
class Origin:
    """A family of checkpoints, known by a name that only it uses."""

    title: str
    marker: str  # regular expression that one of the names matches
    rules: Rules


ORIGINS = [
    Origin("gvseg", r"^query_decoder\.", OURS),
    Origin("Mask2Former", r"^sem_seg_head\.predictor\.", MASK2FORMER),
    Origin("Hugging Face Mask2Former", r"^model\.pixel_level_module\.", HUGGING_FACE),
    Origin("detectron2 ResNet", r"^res2\.0\.conv1\.", DETECTRON2_RESNET),
    Origin("Swin Transformer", r"^(backbone\.)?patch_embed\.proj\.", SWIN),
    Origin("torchvision ResNet", r"^layer1\.0\.conv1\.", TORCHVISION_RESNET),
    Origin("gvseg backbone", r"^backbone\.(stem\.conv1|res2\.0)\.", OURS),  # of a ResNet, converted
]


def find_origin(names: list[str]) -> Origin:
    """Return the family that these tensor names belong to.

    Raises:
        ValueError: no family uses such names.
    """
    for origin in ORIGINS:
        if any(re.match(origin.marker, name) for name in names):
            return origin
    known = ", ".join(origin.title for origin in ORIGINS)
    raise ValueError(f"names such as {names[:3]} belong to no known kind of checkpoint ({known})")


def rename(tensors: dict[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Return the tensors under our names, with parts stacked and unneeded ones dropped."""
    renamed: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        target = name
        for pattern, replacement in rules:
            target = re.sub(pattern, replacement, target, count=1)
            if not target:
                break
        if "#" in target:
            whole, _, index = target.partition("#")
            parts.setdefault(whole, {})[int(index)] = tensor
        elif target:
            renamed[target] = tensor
    for whole, pieces in parts.items():
        renamed[whole] = torch.cat([pieces[index] for index in sorted(pieces)])
    return renamed

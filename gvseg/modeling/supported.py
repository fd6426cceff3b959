"""Which parts of Mask2Former, as its YAMLs name them, are built here."""

from __future__ import annotations

from detectron2.config import CfgNode

NORMS = ("", "GN", "LN", "BN", "SyncBN", "FrozenBN")  # of the pixel decoder


def refuse_other_models(cfg: CfgNode) -> None:
    """Stop at a YAML that asks for a part of Mask2Former that is not built here."""
    resnets, head, former = cfg.MODEL.RESNETS, cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.MASK_FORMER
    decoder = "MultiScaleMaskedTransformerDecoder"
    for key, value, wanted in (
        ("RESNETS.STEM_TYPE", resnets.STEM_TYPE, "basic"),
        ("RESNETS.RES4_DILATION", resnets.RES4_DILATION, 1),
        ("RESNETS.RES5_MULTI_GRID", list(resnets.RES5_MULTI_GRID), [1, 1, 1]),
        ("SEM_SEG_HEAD.NAME", head.NAME, "MaskFormerHead"),
        (
            "MASK_FORMER.TRANSFORMER_IN_FEATURE",
            former.TRANSFORMER_IN_FEATURE,
            "multi_scale_pixel_decoder",
        ),
        (
            "MASK_FORMER.TRANSFORMER_DECODER_NAME",
            former.TRANSFORMER_DECODER_NAME.removeprefix("Video") or decoder,
            decoder,
        ),
        ("MASK_FORMER.ENFORCE_INPUT_PROJ", former.ENFORCE_INPUT_PROJ, False),
        ("SEM_SEG_HEAD.PIXEL_DECODER_NAME", head.PIXEL_DECODER_NAME, "MSDeformAttnPixelDecoder"),
    ):
        if value != wanted:
            raise ValueError(f"MODEL.{key} is {value!r}; only {wanted!r} is supported.")
    if head.NORM not in NORMS:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NORM is {head.NORM!r}; choose one of {', '.join(NORMS[1:])}, or "
            '"" for none.'
        )

"""Operators with compiled kernels, each with a plain PyTorch definition."""

from gvseg.ops.library import backend_summary, is_compiled
from gvseg.ops.ms_deform_attn import MSDeformAttn, ms_deform_attn
from gvseg.ops.reference import ms_deform_attn_reference

__all__ = [
    "MSDeformAttn",
    "backend_summary",
    "is_compiled",
    "ms_deform_attn",
    "ms_deform_attn_reference",
]

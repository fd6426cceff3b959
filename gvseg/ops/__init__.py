"""Operators with compiled kernels, each with a plain PyTorch definition."""

from gvseg.ops.ms_deform_attn import MSDeformAttn, ms_deform_attn
from gvseg.ops.reference import ms_deform_attn_reference

__all__ = ["MSDeformAttn", "ms_deform_attn", "ms_deform_attn_reference"]

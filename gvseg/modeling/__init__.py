"""The segmenter and its parts; importing it registers what YAMLs name."""

from gvseg.modeling import backbone, swin  # noqa: F401  registered by name
from gvseg.modeling.meta_arch import GvSeg
from gvseg.modeling.pixel_decoder import PixelDecoder
from gvseg.modeling.query_decoder import QueryDecoder

__all__ = ["GvSeg", "PixelDecoder", "QueryDecoder"]

"""Parts that a config names and that do not exist."""

import pytest

from gvseg.modeling.build import build_segmenter
from tests.tiny_model import tiny_config


@pytest.mark.parametrize(
    ("key", "name"), [("MODEL.META_ARCHITECTURE", "GvSeg"), ("MODEL.BACKBONE.NAME", "TimmBackbone")]
)
def test_a_part_that_does_not_exist_is_named_beside_those_that_do(key, name):
    with pytest.raises(ValueError, match=rf"{key} is 'Nothing'; choose one of .*\b{name}\b"):
        build_segmenter(tiny_config(key, "Nothing"))

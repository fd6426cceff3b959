import pytest
import torch

from gvseg.precision import autocast_type


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("float32", None), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_names_become_types(name, dtype):
    assert autocast_type(name, key="SOLVER.AMP.PRECISION") is dtype


@pytest.mark.parametrize("name", ["int8", "float64", "", "bf16"])
def test_unknown_name_is_told_with_its_key(name):
    with pytest.raises(ValueError, match=rf"^MODEL\.X is '{name}'; choose one of float32, "):
        autocast_type(name, key="MODEL.X")

"""Weights in eight bits, worked by hand."""

import torch

from gvseg.checkpoint.eight_bits import from_eight_bits, in_eight_bits


def test_rows_have_scales_of_their_own():
    weight = torch.tensor([[127.0, -63.4], [0.254, 0.001], [0.0, 0.0]])
    bias, number = torch.tensor([0.5]), torch.tensor(7)
    stored = in_eight_bits({"a.weight": weight, "a.bias": bias, "n": number})
    assert stored["a.weight"].dtype == torch.int8
    assert stored["a.weight"].tolist() == [[127, -63], [127, 0], [0, 0]]
    assert stored["a.bias"].dtype == torch.float16
    assert stored["n"].dtype == torch.int64
    restored = from_eight_bits(stored)
    assert list(restored) == ["a.weight", "a.bias", "n"]
    torch.testing.assert_close(
        restored["a.weight"], torch.tensor([[127.0, -63.0], [0.254, 0.0], [0.0, 0.0]])
    )


def test_kernels_keep_their_shape():
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    restored = from_eight_bits(in_eight_bits({"conv": weight}))["conv"]
    greatest = weight.flatten(1).abs().amax(1)[:, None, None, None]
    assert ((restored - weight).abs() <= greatest / 254 * 1.001).all()
    assert not torch.equal(restored, weight)


def test_other_tensors_pass_through():
    tensors = {"scale": torch.ones(2), "weight": torch.eye(2, dtype=torch.int8)}
    restored = from_eight_bits(tensors)
    assert restored.keys() == tensors.keys()
    assert all(restored[name] is tensor for name, tensor in tensors.items())

import numpy as np
import torch

from gvseg.inference.transfer import pack, to_host, unpack


def mixed_tensors():
    return [
        torch.tensor([[True, False, True]]),
        torch.tensor([1.5, -2.5]),
        torch.tensor([2**40, -1], dtype=torch.int64),
        torch.arange(5, dtype=torch.int16)[::2],  # not contiguous
        torch.zeros(0, 4, dtype=torch.float64),
    ]


def test_packed_tensors_come_back_as_they_were():
    tensors = mixed_tensors()
    for array, tensor in zip(unpack(pack(tensors).numpy(), tensors), tensors, strict=True):
        np.testing.assert_array_equal(array, tensor.numpy())
        assert array.dtype == tensor.numpy().dtype
        assert array.flags.aligned


def test_to_host_keeps_order_types_and_shapes():
    tensors = mixed_tensors()
    for array, tensor in zip(to_host(*tensors), tensors, strict=True):
        np.testing.assert_array_equal(array, tensor.numpy())


def test_tensors_on_the_host_are_not_copied():
    tensor = torch.zeros(3)
    to_host(tensor)[0][1] = 7
    assert tensor.tolist() == [0, 7, 0]

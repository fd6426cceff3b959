"""Print the errors of the CPU kernels that this process runs on, as JSON."""

import json
import sys

import torch

from gvseg import ops
from tests.ops.samples import make_arguments, reference_run, relative_error

CHANNELS = (1, 3, 4, 7, 8, 12, 16, 24, 31, 32, 40, 64, 72, 100)


def main() -> None:
    forward, gradients = 0.0, 0.0
    for seed, channels in enumerate(CHANNELS):
        for dtype in (torch.float32, torch.float64):
            arguments = make_arguments(
                ((5, 7), (3, 4), (1, 1)), queries=19, channels=channels, points=3, seed=seed
            ).to(dtype)
            tensors = [tensor.requires_grad_() for tensor in arguments.tensors]
            output = ops.ms_deform_attn(tensors[0], arguments.spatial_shapes, *tensors[1:])
            grad_output = torch.randn(output.shape, dtype=dtype)
            results = torch.autograd.grad(output, tensors, grad_output)
            expected = reference_run(arguments, grad_output)
            forward = max(forward, relative_error(output.detach(), expected[0]))
            pairs = zip(results, expected[1:], strict=True)
            gradients = max([gradients, *(relative_error(*pair) for pair in pairs)])
    capability = torch.backends.cpu.get_cpu_capability()
    sys.stdout.write(
        json.dumps({"capability": capability, "forward": forward, "gradients": gradients})
    )


main()

import importlib

import pytest
import torch
import torch.nn.functional as F

from gvseg.ops import MSDeformAttn

# The package's attribute of this name is the function.
module_under_test = importlib.import_module("gvseg.ops.ms_deform_attn")
SHAPES = ((6, 9), (3, 5))
PIXELS = 69


def _make_module(**changes):
    torch.manual_seed(0)
    sizes = {"embed_dim": 24, "num_heads": 3, "num_levels": 2, "num_points": 4, **changes}
    module = MSDeformAttn(**sizes)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def _make_inputs(queries=11, pixels=PIXELS, embed_dim=24, levels=2):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, queries, embed_dim, generator=generator),
        torch.rand(2, queries, levels, 2, generator=generator),
        torch.randn(2, pixels, embed_dim, generator=generator),
    )


def _by_grid_sample(module, query, reference_points, value_input, shapes, padding_mask):
    """Deformable attention spelled out, one head and level at a time."""
    value = module.value_proj(value_input)
    value = torch.where(padding_mask[..., None], 0.0, value)
    batch, queries, width = query.shape
    heads, levels, points = module.num_heads, module.num_levels, module.num_points
    offsets = module.sampling_offsets(query).reshape(batch, queries, heads, levels, points, 2)
    weights = module.attention_weights(query).reshape(batch, queries, heads, levels * points)
    weights = torch.softmax(weights, dim=-1).reshape(batch, queries, heads, levels, points)
    outputs = []
    for head in range(heads):
        channels = slice(head * width // heads, (head + 1) * width // heads)
        output, start = 0, 0
        for level, (h, w) in enumerate(shapes):
            image = value[:, start : start + h * w, channels].mT.reshape(batch, -1, h, w)
            start += h * w
            pixels = reference_points[:, :, None, level] * torch.tensor([w, h])
            pixels = pixels + offsets[:, :, head, level]
            grid = pixels / torch.tensor([w, h]) * 2 - 1
            sampled = F.grid_sample(image, grid, align_corners=False)
            output = output + (sampled * weights[:, None, :, head, level]).sum(-1)
        outputs.append(output.mT)
    return module.output_proj(torch.cat(outputs, dim=-1))


def test_module_follows_a_plain_formulation():
    module = _make_module()
    inputs = [tensor.requires_grad_() for tensor in _make_inputs()]
    padding_mask = torch.rand(2, PIXELS) < 0.2
    leaves = [*inputs, *module.parameters()]

    output = module(*inputs, SHAPES, padding_mask)
    grads = torch.autograd.grad(output.square().sum(), leaves)

    expected = _by_grid_sample(module, *inputs, SHAPES, padding_mask)
    expected_grads = torch.autograd.grad(expected.square().sum(), leaves)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        scale = expected_grad.abs().max()
        torch.testing.assert_close(grad / scale, expected_grad / scale, rtol=0, atol=1e-4)


def test_parameters_have_the_names_and_shapes_of_published_weights():
    module = MSDeformAttn(embed_dim=256, num_heads=8, num_levels=3, num_points=4)

    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}

    assert shapes == {
        "sampling_offsets.weight": (192, 256),
        "sampling_offsets.bias": (192,),
        "attention_weights.weight": (96, 256),
        "attention_weights.bias": (96,),
        "value_proj.weight": (256, 256),
        "value_proj.bias": (256,),
        "output_proj.weight": (256, 256),
        "output_proj.bias": (256,),
    }


def test_at_the_start_heads_look_in_eight_directions_at_growing_distance():
    module = MSDeformAttn(embed_dim=16, num_heads=8, num_levels=2, num_points=3)

    offsets = module.sampling_offsets.bias.view(8, 2, 3, 2)

    first = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    for head, direction in enumerate(first):
        for level in range(2):
            for point in range(3):
                expected = torch.tensor(direction) * (point + 1.0)
                torch.testing.assert_close(offsets[head, level, point], expected, atol=1e-5, rtol=0)
    assert torch.count_nonzero(module.sampling_offsets.weight) == 0
    assert torch.count_nonzero(module.attention_weights.weight) == 0
    assert torch.count_nonzero(module.attention_weights.bias) == 0


def test_padding_gives_nothing():
    module = _make_module()
    query, reference_points, value_input = _make_inputs()
    padding_mask = torch.zeros(2, PIXELS, dtype=torch.bool)
    padding_mask[:, 10:30] = True
    changed = value_input.clone()
    changed[:, 10:30] = 1e4

    output = module(query, reference_points, value_input, SHAPES, padding_mask)

    assert torch.equal(output, module(query, reference_points, changed, SHAPES, padding_mask))
    assert not torch.equal(output, module(query, reference_points, value_input, SHAPES))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_halves_values_but_not_locations(monkeypatch, dtype):
    # On a level 160 pixels wide, locations in bfloat16 would be off by up to 0.3 pixels.
    shapes = ((2, 160), (1, 80))
    module = _make_module()
    inputs = _make_inputs(pixels=400)
    calls = []

    def record(value, spatial_shapes, locations, weights):
        calls.append((value.dtype, locations, weights))
        return operator(value, spatial_shapes, locations, weights)

    operator = module_under_test.ms_deform_attn
    monkeypatch.setattr(module_under_test, "ms_deform_attn", record)
    exact = module(*inputs, shapes)
    with torch.autocast("cpu", dtype):
        query = inputs[0]
        output = module(query, *inputs[1:], shapes)

    assert [call[0] for call in calls] == [torch.float32, dtype]
    assert torch.equal(calls[0][1], calls[1][1])
    assert torch.equal(calls[0][2], calls[1][2])
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), exact, rtol=0.05, atol=0.05)


def test_gradients_flow_under_autocast():
    module = _make_module()
    query, reference_points, value_input = _make_inputs()

    with torch.autocast("cpu", torch.bfloat16):
        output = module(query, reference_points, value_input, SHAPES)
    output.float().square().sum().backward()

    for name, parameter in module.named_parameters():
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_whole_module_may_be_of_another_precision(dtype):
    module = _make_module()
    query, reference_points, value_input = _make_inputs()
    exact = module(query, reference_points, value_input, SHAPES)

    module = module.to(dtype)
    output = module(query.to(dtype), reference_points, value_input.to(dtype), SHAPES)

    assert output.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float64 else 0.1
    torch.testing.assert_close(output.float(), exact, rtol=tolerance, atol=tolerance)


def test_module_compiles_into_one_graph():
    module = _make_module()
    inputs = _make_inputs()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")

    output = compiled(*inputs, SHAPES)

    torch.testing.assert_close(output, module(*inputs, SHAPES))


def test_embed_dim_must_divide_into_heads():
    with pytest.raises(ValueError, match="embed_dim 30 must be a multiple of num_heads 8"):
        MSDeformAttn(embed_dim=30, num_heads=8, num_levels=1, num_points=1)

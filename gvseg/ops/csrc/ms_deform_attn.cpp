// Schemas of the operators and the checks that every device shares.
#include "ms_deform_attn.h"

#include <c10/util/Exception.h>
#include <torch/library.h>

#include <array>
#include <string>

namespace gvseg {
namespace {

void check_sampling(const at::Tensor& tensor, const char* name, const at::Tensor& value,
                    at::IntArrayRef shape) {
  const auto expected = value.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  TORCH_CHECK_VALUE(tensor.sizes() == shape, name, " must be ", shape,
                    " to fit the other arguments, got ", tensor.sizes(), ".");
  TORCH_CHECK_VALUE(tensor.scalar_type() == expected, name, " must be ", expected, " for ",
                    value.scalar_type(), " values, got ", tensor.scalar_type(), ".");
  TORCH_CHECK_VALUE(tensor.device() == value.device(), name, " must be on ", value.device(),
                    " like value, got ", tensor.device(), ".");
}

std::vector<Level> check_levels(at::IntArrayRef spatial_shapes, int64_t pixels) {
  TORCH_CHECK_VALUE(!spatial_shapes.empty() && spatial_shapes.size() % 2 == 0,
                    "spatial_shapes must hold a height and a width for each level, got ",
                    spatial_shapes, ".");
  std::vector<Level> levels;
  int64_t start = 0;
  for (size_t i = 0; i < spatial_shapes.size(); i += 2) {
    const int64_t height = spatial_shapes[i];
    const int64_t width = spatial_shapes[i + 1];
    TORCH_CHECK_VALUE(height > 0 && width > 0, "spatial_shapes must be positive, got ",
                      spatial_shapes, ".");
    // Written as a division, for the product could overflow.
    TORCH_CHECK_VALUE(height <= (pixels - start) / width, "spatial_shapes ", spatial_shapes,
                      " cover more pixels than value has, which is ", pixels, ".");
    levels.push_back(
        {static_cast<int32_t>(height), static_cast<int32_t>(width), static_cast<int32_t>(start)});
    start += height * width;
  }
  TORCH_CHECK_VALUE(start == pixels, "spatial_shapes ", spatial_shapes, " cover ", start,
                    " pixels, but value has ", pixels, ".");
  return levels;
}

}  // namespace

Sizes check_arguments(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                      const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  const auto dtype = value.scalar_type();
  TORCH_CHECK_VALUE(value.dim() == 4, "value must be (B, S, M, D), got ", value.sizes(), ".");
  TORCH_CHECK_VALUE(
      dtype == at::kFloat || dtype == at::kDouble || dtype == at::kHalf || dtype == at::kBFloat16,
      "value must be float32, float64, float16 or bfloat16, got ", dtype, ".");
  // Kernels keep offsets within a batch element in 32 bits, also where they pad and add gradients.
  TORCH_CHECK_VALUE(
      (value.size(1) + 1) * value.size(2) * (value.size(3) + 15) <= (int64_t(1) << 30),
      "value must have fewer than 2^30 elements in a batch element, got ", value.sizes(), ".");
  TORCH_CHECK_VALUE(sampling_locations.dim() == 6,
                    "sampling_locations must be (B, Q, M, L, P, 2), got ",
                    sampling_locations.sizes(), ".");
  Sizes sizes{value.size(0),
              value.size(1),
              value.size(2),
              value.size(3),
              sampling_locations.size(1),
              sampling_locations.size(4),
              check_levels(spatial_shapes, value.size(1))};
  const auto num_levels = static_cast<int64_t>(sizes.levels.size());
  check_sampling(sampling_locations, "sampling_locations", value,
                 {sizes.batch, sizes.queries, sizes.heads, num_levels, sizes.points, 2});
  check_sampling(attention_weights, "attention_weights", value,
                 {sizes.batch, sizes.queries, sizes.heads, num_levels, sizes.points});
  return sizes;
}

void check_grad_output(const at::Tensor& grad_output, const at::Tensor& value, const Sizes& sizes) {
  const std::array<int64_t, 3> extents{sizes.batch, sizes.queries, sizes.heads * sizes.channels};
  const at::IntArrayRef shape(extents);
  TORCH_CHECK_VALUE(grad_output.sizes() == shape, "grad_output must be ", shape, ", got ",
                    grad_output.sizes(), ".");
  TORCH_CHECK_VALUE(grad_output.scalar_type() == value.scalar_type(), "grad_output must be ",
                    value.scalar_type(), " like value, got ", grad_output.scalar_type(), ".");
  TORCH_CHECK_VALUE(grad_output.device() == value.device(), "grad_output must be on ",
                    value.device(), " like value, got ", grad_output.device(), ".");
}

namespace {
std::string compiled_devices() {
#if defined(GVSEG_WITH_CUDA)
  return "cpu,cuda";
#else
  return "cpu";
#endif
}
}  // namespace
}  // namespace gvseg

// Shapes may be symbolic, so that a compiled graph can serve frames of several sizes.
TORCH_LIBRARY(gvseg, library) {
  library.def(
      "ms_deform_attn(Tensor value, SymInt[] spatial_shapes, Tensor sampling_locations, "
      "Tensor attention_weights) -> Tensor");
  library.def(
      "ms_deform_attn_backward(Tensor grad_output, Tensor value, SymInt[] spatial_shapes, "
      "Tensor sampling_locations, Tensor attention_weights) -> (Tensor, Tensor, Tensor)");
  library.def("compiled_devices() -> str", &gvseg::compiled_devices);
}

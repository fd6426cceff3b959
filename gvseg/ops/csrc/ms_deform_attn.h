// The sizes of one call, checked, as the kernels of every device take them.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace gvseg {

struct Level {
  int32_t height;
  int32_t width;
  int32_t start;  // first pixel of the level
};

struct Sizes {
  int64_t batch;
  int64_t pixels;  // of all levels
  int64_t heads;
  int64_t channels;  // of a head
  int64_t queries;
  int64_t points;
  std::vector<Level> levels;
};

// Throws an error that names the argument where shapes, dtypes or devices do not fit.
// `spatial_shapes` is (H, W) of each level, one after the other.
Sizes check_arguments(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                      const at::Tensor& sampling_locations, const at::Tensor& attention_weights);

// Throws where `grad_output` is not like the output of the call with these sizes.
void check_grad_output(const at::Tensor& grad_output, const at::Tensor& value, const Sizes& sizes);

}  // namespace gvseg

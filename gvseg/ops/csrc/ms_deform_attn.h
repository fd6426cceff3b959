// Checks that the operators of every device share.
#pragma once

#include <ATen/core/Tensor.h>

#include "sizes.h"

namespace gvseg {

// Throws an error that names the argument where shapes, dtypes or devices do not fit.
// `spatial_shapes` is (H, W) of each level, one after the other.
Sizes check_arguments(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                      const at::Tensor& sampling_locations, const at::Tensor& attention_weights);

// Throws where `grad_output` is not like the output of the call with these sizes.
void check_grad_output(const at::Tensor& grad_output, const at::Tensor& value, const Sizes& sizes);

}  // namespace gvseg

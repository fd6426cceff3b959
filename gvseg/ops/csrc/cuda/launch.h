// Starts the kernels on raw memory. Apart from the operators, as nvcc takes long over PyTorch's
// headers.
#pragma once

#include <cuda_runtime_api.h>

#include "../sizes.h"

namespace gvseg::cuda {

constexpr int kVectorBytes = 16;

// T is the type of the values, A the one of locations, weights and sums. All tensors are
// contiguous; those of T may start at a multiple of kVectorBytes, and rows of channels be a
// multiple of it.
template <typename T, typename A>
struct ForwardCall {
  const T* values;
  const A* locations;
  const A* weights;
  T* output;
};

template <typename T, typename A>
struct BackwardCall {
  const T* grad_output;
  const T* values;
  const A* locations;
  const A* weights;
  A* grad_values;  // added to
  A* grad_locations;
  A* grad_weights;
};

// `is_aligned`: whether threads may load and store kVectorBytes at once.
template <typename T, typename A>
void launch(const ForwardCall<T, A>& call, const Sizes& sizes, bool is_aligned,
            cudaStream_t stream);
template <typename T, typename A>
void launch(const BackwardCall<T, A>& call, const Sizes& sizes, bool is_aligned,
            cudaStream_t stream);

}  // namespace gvseg::cuda

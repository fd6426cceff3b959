// The operators on CUDA devices: memory, types, launches.
#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>
#include <c10/util/Half.h>
#include <torch/library.h>

#include <tuple>

#include "../ms_deform_attn.h"
#include "indexing.cuh"
#include "launch.h"

namespace gvseg::cuda {
namespace {

constexpr int64_t kMaxPoints = 4096;  // far below where Shape::level_of would round wrongly
constexpr int64_t kMaxQueries = int64_t(1) << 30;
constexpr int64_t kMaxBlocks = 65535;  // of the second and third dimension of a launch

void check_limits(const Sizes& sizes) {
  TORCH_CHECK_VALUE(sizes.levels.size() <= size_t(kMaxLevels), "spatial_shapes may hold up to ",
                    kMaxLevels, " levels on CUDA, got ", sizes.levels.size(), ".");
  TORCH_CHECK_VALUE(sizes.points <= kMaxPoints, "sampling_locations may hold up to ", kMaxPoints,
                    " points on CUDA, got ", sizes.points, ".");
  TORCH_CHECK_VALUE(sizes.queries < kMaxQueries, "sampling_locations must hold fewer than ",
                    kMaxQueries, " queries on CUDA, got ", sizes.queries, ".");
  TORCH_CHECK_VALUE(sizes.batch <= kMaxBlocks && sizes.heads <= kMaxBlocks, "value may have up to ",
                    kMaxBlocks, " batch elements and heads on CUDA, got ", sizes.batch, " and ",
                    sizes.heads, ".");
}

template <typename T>
bool is_aligned(const T* data, const Sizes& sizes) {
  return reinterpret_cast<uintptr_t>(data) % kVectorBytes == 0 &&
         sizes.channels * sizeof(T) % kVectorBytes == 0;
}

// Calls `run` with zeros of the C++ types of the values and of locations, weights and sums.
template <typename Run>
void dispatch(at::ScalarType dtype, const Run& run) {
  if (dtype == at::kFloat) {
    run(float(), float());
  } else if (dtype == at::kHalf) {
    run(c10::Half(), float());
  } else if (dtype == at::kBFloat16) {
    run(c10::BFloat16(), float());
  } else {
    run(double(), double());
  }
}

at::Tensor ms_deform_attn(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  const Sizes sizes = check_arguments(value, spatial_shapes, sampling_locations, attention_weights);
  check_limits(sizes);
  const c10::cuda::CUDAGuard guard(value.device());
  auto output =
      at::empty({sizes.batch, sizes.queries, sizes.heads * sizes.channels}, value.options());
  if (output.numel() == 0 || attention_weights.numel() == 0) {
    return output.zero_();
  }
  const auto values = value.contiguous();
  const auto locations = sampling_locations.contiguous();
  const auto weights = attention_weights.contiguous();
  dispatch(value.scalar_type(), [&](auto element, auto sum) {
    using T = decltype(element);
    using A = decltype(sum);
    const ForwardCall<T, A> call{values.const_data_ptr<T>(), locations.const_data_ptr<A>(),
                                 weights.const_data_ptr<A>(), output.mutable_data_ptr<T>()};
    launch(call, sizes, is_aligned(call.values, sizes), c10::cuda::getCurrentCUDAStream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  });
  return output;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_backward(
    const at::Tensor& grad_output, const at::Tensor& value, at::IntArrayRef spatial_shapes,
    const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  at::globalContext().alertNotDeterministic("ms_deform_attn_backward on CUDA");
  const Sizes sizes = check_arguments(value, spatial_shapes, sampling_locations, attention_weights);
  check_limits(sizes);
  check_grad_output(grad_output, value, sizes);
  const c10::cuda::CUDAGuard guard(value.device());
  const auto locations = sampling_locations.contiguous();
  const auto weights = attention_weights.contiguous();
  // Half precisions would lose small contributions, so sums are kept in the type of the weights.
  const auto grad_value = at::zeros(value.sizes(), weights.options());
  const auto grad_locations = at::empty_like(locations);
  const auto grad_weights = at::empty_like(weights);
  if (grad_output.numel() == 0 || weights.numel() == 0) {
    return {grad_value.to(value.scalar_type()), grad_locations.zero_(), grad_weights.zero_()};
  }
  const auto grads = grad_output.contiguous();
  const auto values = value.contiguous();
  dispatch(value.scalar_type(), [&](auto element, auto sum) {
    using T = decltype(element);
    using A = decltype(sum);
    const BackwardCall<T, A> call{
        grads.const_data_ptr<T>(),          values.const_data_ptr<T>(),
        locations.const_data_ptr<A>(),      weights.const_data_ptr<A>(),
        grad_value.mutable_data_ptr<A>(),   grad_locations.mutable_data_ptr<A>(),
        grad_weights.mutable_data_ptr<A>(),
    };
    launch(call, sizes, is_aligned(call.values, sizes) && is_aligned(call.grad_output, sizes),
           c10::cuda::getCurrentCUDAStream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  });
  return {grad_value.to(value.scalar_type()), grad_locations, grad_weights};
}

}  // namespace
}  // namespace gvseg::cuda

TORCH_LIBRARY_IMPL(gvseg, CUDA, library) {
  library.impl("ms_deform_attn", &gvseg::cuda::ms_deform_attn);
  library.impl("ms_deform_attn_backward", &gvseg::cuda::ms_deform_attn_backward);
}

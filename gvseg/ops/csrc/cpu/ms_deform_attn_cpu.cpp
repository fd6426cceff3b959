// The operators on the CPU: choice of the instruction set, memory, threads.
#include "../ms_deform_attn.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <algorithm>
#include <new>
#include <string>
#include <tuple>
#include <vector>

#include "kernels.h"

namespace gvseg::cpu {
namespace {

// Samples prepared together: their scratch takes 15 elements each and stays in the L1 cache.
constexpr int64_t kBlockSamples = 192;

// The instruction set that PyTorch uses: what the machine has, unless the environment variable
// ATEN_CPU_CAPABILITY asks for less.
const std::string& capability() {
  static const std::string name = at::get_cpu_capability();
  return name;
}

template <typename T>
ForwardKernel<T> choose_forward([[maybe_unused]] int64_t channels) {
#if defined(__x86_64__)
  // Vectors of 64 bytes only where the channels fill them as well as vectors of 32.
  constexpr int64_t kLanes = 64 / sizeof(T);
  const bool fills =
      (channels + kLanes - 1) / kLanes * 2 == (channels + kLanes / 2 - 1) / (kLanes / 2);
  if (capability() == "AVX512" && fills) {
    return avx512_forward<T>();
  }
  if (capability() == "AVX512" || capability() == "AVX2") {
    return avx2_forward<T>();
  }
#endif
  return baseline_forward<T>();
}

template <typename T>
BackwardKernel<T> choose_backward() {
#if defined(__x86_64__)
  if (capability() == "AVX512" || capability() == "AVX2") {
    return avx2_backward<T>();
  }
#endif
  return baseline_backward<T>();
}

// Memory that starts at a cache line, as vectors that cross lines cost twice.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t size)
      : data_(static_cast<T*>(::operator new(size * sizeof(T), kAlignment))) {}
  ~Buffer() { ::operator delete(data_, kAlignment); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  T* data_;
};

// Everything of a call that does not depend on the head.
template <typename T>
struct Plan {
  Plan(const Sizes& sizes, const Packing<T>& packing, const at::Tensor& locations,
       const at::Tensor& weights)
      : sizes(sizes),
        packing(packing),
        num_samples(static_cast<int64_t>(sizes.levels.size()) * sizes.points),
        row((sizes.channels + packing.lanes - 1) / packing.lanes * packing.lanes),
        block(std::max<int64_t>(1, kBlockSamples / std::max<int64_t>(1, num_samples))),
        locations(locations.const_data_ptr<T>()),
        weights(weights.const_data_ptr<T>()) {
    for (int64_t query = 0; query < block; ++query) {
      for (const Level& level : sizes.levels) {
        height.insert(height.end(), sizes.points, level.height);
        width.insert(width.end(), sizes.points, level.width);
        start.insert(start.end(), sizes.points, level.start);
      }
    }
  }

  Head<T> head(int64_t batch, int64_t index) const {
    const int64_t first = (batch * sizes.queries * sizes.heads + index) * num_samples;
    return {sizes.pixels, sizes.queries,         num_samples,    sizes.channels, row,
            pitch(),      sizes.heads,           block,          height.data(),  width.data(),
            start.data(), locations + first * 2, weights + first};
  }

  int64_t pitch() const { return row * packing.rows_per_pixel; }
  int64_t packed_size() const { return (sizes.pixels + 1) * pitch(); }
  int64_t scratch_size() const { return packing.scratch_size(block, num_samples, row); }
  // Elements from pixel to pixel and from query to query.
  int64_t stride() const { return sizes.heads * sizes.channels; }
  // First element of a head in a (B, N, M, D) tensor.
  int64_t first_of(int64_t batch, int64_t index, int64_t length) const {
    return (batch * length * sizes.heads + index) * sizes.channels;
  }

  const Sizes& sizes;
  const Packing<T>& packing;
  int64_t num_samples;
  int64_t row;
  int64_t block;
  const T* locations;
  const T* weights;
  std::vector<int32_t> height, width, start;
};

template <typename T>
at::Tensor forward(const at::Tensor& value, const at::Tensor& locations, const at::Tensor& weights,
                   const Sizes& sizes) {
  auto output =
      at::empty({sizes.batch, sizes.queries, sizes.heads * sizes.channels}, value.options());
  const ForwardKernel<T> kernel = choose_forward<T>(sizes.channels);
  const Plan<T> plan(sizes, kernel, locations, weights);
  const T* values = value.const_data_ptr<T>();
  T* outputs = output.mutable_data_ptr<T>();
  const int64_t num_heads = sizes.batch * sizes.heads;
  // Fewer heads than threads: several share a head, each with a copy of its values.
  const int64_t shares = at::divup(at::get_num_threads(), std::max<int64_t>(1, num_heads));
  const int64_t queries = at::divup(sizes.queries, shares);
  at::parallel_for(0, num_heads * shares, 1, [&](int64_t begin, int64_t end) {
    const Buffer<T> packed(plan.packed_size());
    const Buffer<T> scratch(plan.scratch_size());
    int64_t packed_head = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t batch = task / shares / sizes.heads;
      const int64_t index = task / shares % sizes.heads;
      const int64_t first = std::min(task % shares * queries, sizes.queries);
      const Head<T> head = plan.head(batch, index);
      if (packed_head != task / shares) {
        kernel.pack(values + plan.first_of(batch, index, sizes.pixels), plan.stride(), head,
                    packed.get());
        packed_head = task / shares;
      }
      kernel.run(head, packed.get(), first, std::min(first + queries, sizes.queries),
                 outputs + plan.first_of(batch, index, sizes.queries), scratch.get());
    }
  });
  return output;
}

template <typename T>
std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad_output,
                                                        const at::Tensor& value,
                                                        const at::Tensor& locations,
                                                        const at::Tensor& weights,
                                                        const Sizes& sizes) {
  auto grad_value = at::empty_like(value);
  auto grad_locations = at::empty_like(locations);
  auto grad_weights = at::empty_like(weights);
  const BackwardKernel<T> kernel = choose_backward<T>();
  const Plan<T> plan(sizes, kernel, locations, weights);
  const T* values = value.const_data_ptr<T>();
  const T* grad_outputs = grad_output.const_data_ptr<T>();
  T* grad_values = grad_value.mutable_data_ptr<T>();
  T* to_locations = grad_locations.mutable_data_ptr<T>();
  T* to_weights = grad_weights.mutable_data_ptr<T>();
  // A head owns its gradients and adds to them in the order of its queries, so the result does
  // not depend on the number of threads.
  at::parallel_for(0, sizes.batch * sizes.heads, 1, [&](int64_t begin, int64_t end) {
    const Buffer<T> packed(plan.packed_size());
    const Buffer<T> scratch(plan.scratch_size());
    for (int64_t task = begin; task < end; ++task) {
      const int64_t batch = task / sizes.heads;
      const int64_t index = task % sizes.heads;
      const Head<T> head = plan.head(batch, index);
      kernel.pack(values + plan.first_of(batch, index, sizes.pixels), plan.stride(), head,
                  packed.get());
      kernel.run(head, packed.get(), grad_outputs + plan.first_of(batch, index, sizes.queries),
                 to_locations + (head.locations - plan.locations),
                 to_weights + (head.weights - plan.weights), scratch.get());
      T* target = grad_values + plan.first_of(batch, index, sizes.pixels);
      for (int64_t pixel = 0; pixel < sizes.pixels; ++pixel) {
        std::copy_n(packed.get() + pixel * head.pitch + head.row, sizes.channels,
                    target + pixel * plan.stride());
      }
    }
  });
  return {grad_value, grad_locations, grad_weights};
}

// Half precisions compute in float32: converting once costs less than at each of the samples.
at::Tensor ms_deform_attn(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  const Sizes sizes = check_arguments(value, spatial_shapes, sampling_locations, attention_weights);
  const auto dtype = sampling_locations.scalar_type();
  const auto values = value.to(dtype).contiguous();
  const auto locations = sampling_locations.contiguous();
  const auto weights = attention_weights.contiguous();
  const auto output = dtype == at::kDouble ? forward<double>(values, locations, weights, sizes)
                                           : forward<float>(values, locations, weights, sizes);
  return output.to(value.scalar_type());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_backward(
    const at::Tensor& grad_output, const at::Tensor& value, at::IntArrayRef spatial_shapes,
    const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  const Sizes sizes = check_arguments(value, spatial_shapes, sampling_locations, attention_weights);
  check_grad_output(grad_output, value, sizes);
  const auto dtype = sampling_locations.scalar_type();
  const auto grads = grad_output.to(dtype).contiguous();
  const auto values = value.to(dtype).contiguous();
  const auto locations = sampling_locations.contiguous();
  const auto weights = attention_weights.contiguous();
  auto [grad_value, grad_locations, grad_weights] =
      dtype == at::kDouble ? backward<double>(grads, values, locations, weights, sizes)
                           : backward<float>(grads, values, locations, weights, sizes);
  return {grad_value.to(value.scalar_type()), grad_locations, grad_weights};
}

}  // namespace
}  // namespace gvseg::cpu

TORCH_LIBRARY_IMPL(gvseg, CPU, library) {
  library.impl("ms_deform_attn", &gvseg::cpu::ms_deform_attn);
  library.impl("ms_deform_attn_backward", &gvseg::cpu::ms_deform_attn_backward);
}

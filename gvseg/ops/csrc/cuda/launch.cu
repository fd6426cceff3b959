#include "launch.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "kernels.cuh"
#include "layout.h"

namespace gvseg::cuda {
namespace {

dim3 blocks(const Layout& layout, const Sizes& sizes) {
  return {static_cast<unsigned>(layout.tiles), static_cast<unsigned>(sizes.heads),
          static_cast<unsigned>(sizes.batch)};
}

template <int V, typename T, typename A>
void run(const ForwardCall<T, A>& call, const Sizes& sizes, cudaStream_t stream) {
  const Layout layout = make_layout(sizes, V);
  forward_kernel<T, A, V><<<blocks(layout, sizes), kThreads, 0, stream>>>(
      call.values, call.locations, call.weights, call.output, layout.shape, layout.levels,
      layout.queries);
}

template <int V, typename T, typename A>
void run(const BackwardCall<T, A>& call, const Sizes& sizes, cudaStream_t stream) {
  const Layout layout = make_layout(sizes, V);
  backward_kernel<T, A, V><<<blocks(layout, sizes), kThreads, 0, stream>>>(
      call.grad_output, call.values, call.locations, call.weights, call.grad_values,
      call.grad_locations, call.grad_weights, layout.shape, layout.levels, layout.queries);
}

// Vectors are for training and inference; float64 is for checking gradients.
template <typename T, typename Call>
void choose_vector(const Call& call, const Sizes& sizes, bool is_aligned, cudaStream_t stream) {
  if constexpr (sizeof(T) < sizeof(double)) {
    if (is_aligned) {
      run<kVectorBytes / sizeof(T)>(call, sizes, stream);
      return;
    }
  }
  run<1>(call, sizes, stream);
}

}  // namespace

template <typename T, typename A>
void launch(const ForwardCall<T, A>& call, const Sizes& sizes, bool is_aligned,
            cudaStream_t stream) {
  choose_vector<T>(call, sizes, is_aligned, stream);
}

template <typename T, typename A>
void launch(const BackwardCall<T, A>& call, const Sizes& sizes, bool is_aligned,
            cudaStream_t stream) {
  choose_vector<T>(call, sizes, is_aligned, stream);
}

#define GVSEG_LAUNCH(T, A)                                                                \
  template void launch<T, A>(const ForwardCall<T, A>&, const Sizes&, bool, cudaStream_t); \
  template void launch<T, A>(const BackwardCall<T, A>&, const Sizes&, bool, cudaStream_t);

GVSEG_LAUNCH(float, float)
GVSEG_LAUNCH(c10::Half, float)
GVSEG_LAUNCH(c10::BFloat16, float)
GVSEG_LAUNCH(double, double)

}  // namespace gvseg::cuda

// The CUDA kernels behind C functions that a test can call without a GPU.
#include "cuda_on_host.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "cuda/kernels.cuh"
#include "cuda/layout.h"

namespace {

using gvseg::Sizes;
using gvseg::cuda::kThreads;

// batch, heads, channels, queries, points, levels, then height and width of each level
Sizes read_sizes(const int64_t* numbers) {
  Sizes sizes{numbers[0], 0, numbers[1], numbers[2], numbers[3], numbers[4], {}};
  for (int64_t i = 0; i < numbers[5]; ++i) {
    const auto height = static_cast<int32_t>(numbers[6 + 2 * i]);
    const auto width = static_cast<int32_t>(numbers[7 + 2 * i]);
    sizes.levels.push_back({height, width, static_cast<int32_t>(sizes.pixels)});
    sizes.pixels += int64_t(height) * width;
  }
  return sizes;
}

template <typename Kernel>
void launch(const Sizes& sizes, int32_t tiles, const Kernel& kernel) {
  const Index3 blocks{static_cast<unsigned>(tiles), static_cast<unsigned>(sizes.heads),
                      static_cast<unsigned>(sizes.batch)};
  host::launch(blocks, kThreads, kernel);
}

template <typename T, typename A, int V>
void forward(const int64_t* numbers, const T* values, const A* locations, const A* weights,
             T* output) {
  const Sizes sizes = read_sizes(numbers);
  const auto layout = gvseg::cuda::make_layout(sizes, V);
  launch(sizes, layout.tiles, [&] {
    gvseg::cuda::forward_kernel<T, A, V>(values, locations, weights, output, layout.shape,
                                         layout.levels, layout.queries);
  });
}

template <typename T, typename A, int V>
void backward(const int64_t* numbers, const T* grad_output, const T* values, const A* locations,
              const A* weights, A* grad_values, A* grad_locations, A* grad_weights) {
  const Sizes sizes = read_sizes(numbers);
  const auto layout = gvseg::cuda::make_layout(sizes, V);
  launch(sizes, layout.tiles, [&] {
    gvseg::cuda::backward_kernel<T, A, V>(grad_output, values, locations, weights, grad_values,
                                          grad_locations, grad_weights, layout.shape, layout.levels,
                                          layout.queries);
  });
}

template <typename Call>
int succeeds(const Call& call) {
  try {
    call();
    return 0;
  } catch (const std::logic_error&) {
    return 1;
  }
}

}  // namespace

// 0, or 1 where threads of a warp came to wait at different operations.
#define EXPORT(NAME, T, A, V)                                                                   \
  extern "C" int forward_##NAME(const int64_t* numbers, const T* values, const A* locations,    \
                                const A* weights, T* output) {                                  \
    return succeeds([&] { forward<T, A, V>(numbers, values, locations, weights, output); });    \
  }                                                                                             \
  extern "C" int backward_##NAME(const int64_t* numbers, const T* grad_output, const T* values, \
                                 const A* locations, const A* weights, A* grad_values,          \
                                 A* grad_locations, A* grad_weights) {                          \
    return succeeds([&] {                                                                       \
      backward<T, A, V>(numbers, grad_output, values, locations, weights, grad_values,          \
                        grad_locations, grad_weights);                                          \
    });                                                                                         \
  }

EXPORT(float32_by_4, float, float, 4)
EXPORT(float32_by_1, float, float, 1)
EXPORT(float64_by_1, double, double, 1)
EXPORT(bfloat16_by_8, c10::BFloat16, float, 8)
EXPORT(float16_by_8, c10::Half, float, 8)

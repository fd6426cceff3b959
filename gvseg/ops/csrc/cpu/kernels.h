// What the CPU kernels do for one head, as function pointers of each instruction set.
//
// S pixels of all levels, Q queries, M heads, D channels of a head, n samples (levels * points) of
// a query and head.
#pragma once

#include <cstdint>

namespace gvseg::cpu {

// The values of one head are packed pixel after pixel: D channels, zeros up to `row`, which is D
// rounded up to whole vectors, and more zeros up to `pitch`. Backward adds the gradient of a pixel
// up behind its values: apart from saving a buffer, loads of values and stores of gradients then
// never share their low address bits, which would make the one wait for the other. Row S is zero
// and stands for every pixel outside of a level.
template <typename T>
struct Head {
  int64_t num_pixels;   // S
  int64_t num_queries;  // Q
  int64_t num_samples;  // n
  int64_t channels;     // D
  int64_t row;
  int64_t pitch;
  int64_t heads;  // M: from query to query, locations, weights and outputs lie M heads apart
  int64_t block;  // queries prepared together, for their samples to stay in the L1 cache
  // Level of each sample of a block, (block * n).
  const int32_t* height;
  const int32_t* width;
  const int32_t* start;  // the level's first pixel
  const T* locations;    // of query 0 of this head: (n, 2)
  const T* weights;      // of query 0 of this head: (n)
};

// What both directions need of an instruction set.
template <typename T>
struct Packing {
  int64_t lanes;           // elements of a vector
  int64_t rows_per_pixel;  // pitch over row
  // Elements of scratch that a kernel needs for one block.
  int64_t (*scratch_size)(int64_t block, int64_t num_samples, int64_t row);
  // (S, D) with `stride` elements between pixels -> (S + 1, pitch).
  void (*pack)(const T* values, int64_t stride, const Head<T>& head, T* packed);
};

template <typename T>
struct ForwardKernel : Packing<T> {
  // Queries [begin, end): `output` is row 0 of this head, rows are heads * D elements apart.
  void (*run)(const Head<T>& head, const T* packed, int64_t begin, int64_t end, T* output,
              T* scratch);
};

template <typename T>
struct BackwardKernel : Packing<T> {
  // All queries. The gradients of the values are added to `packed`.
  void (*run)(const Head<T>& head, T* packed, const T* grad_output, T* grad_locations,
              T* grad_weights, T* scratch);
};

template <typename T>
ForwardKernel<T> baseline_forward();
template <typename T>
BackwardKernel<T> baseline_backward();
#if defined(__x86_64__)
template <typename T>
ForwardKernel<T> avx2_forward();
template <typename T>
BackwardKernel<T> avx2_backward();
// Backward spends its time storing and gains nothing from vectors of 64 bytes.
template <typename T>
ForwardKernel<T> avx512_forward();
#endif

}  // namespace gvseg::cpu

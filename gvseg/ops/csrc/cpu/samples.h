// What forward and backward share. Written once with vectors of GVSEG_VECTOR_BYTES and compiled
// once per instruction set: the including file sets that macro and the compiler's target first.
//
// Nothing of the standard library is instantiated here: the linker could keep a copy compiled for
// AVX-512 and call it on a machine that has none.
#pragma once

#include "../sampling.h"
#include "kernels.h"

// Before a loop whose turns do not touch one another's elements. Pointers that are `restrict`
// lose it when their function is inlined, and with it the loop its vectors.
#if defined(__clang__)
#define GVSEG_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define GVSEG_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace gvseg::cpu {
namespace {

constexpr int kVectorBytes = GVSEG_VECTOR_BYTES;

// A vector that may lie at any address of its element type.
template <typename T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
  static constexpr int64_t lanes = kVectorBytes / sizeof(T);
};
template <typename T>
using Vector = typename VectorOf<T>::type;

template <typename T>
GVSEG_INLINE Vector<T> load(const T* source) {
  return *reinterpret_cast<const Vector<T>*>(source);
}

template <typename T>
GVSEG_INLINE void store(T* target, const Vector<T>& vector) {
  *reinterpret_cast<Vector<T>*>(target) = vector;
}

// The samples of a block of queries, `count` of them, as arrays that plain loops vectorise over.
// Corners go top left, top right, bottom left, bottom right.
template <typename T>
struct Samples {
  int64_t count;
  T* x;          // (count): location, then horizontal fraction: the weight of the right corners
  T* y;          // (count)
  T* weight;     // (count): attention weight
  T* share;      // (4, count): attention weight times bilinear weight
  int32_t* row;  // (4, count): first element of the corner's pixel
  T* dots;       // (count, 4): grad_output times value
  T* padded;     // (row): a row of output or grad_output
};

template <typename T>
int64_t scratch_size(int64_t block, int64_t num_samples, int64_t row) {
  return block * num_samples * 15 + row;
}

template <typename T>
GVSEG_INLINE Samples<T> carve(T* scratch, const Head<T>& head) {
  static_assert(sizeof(int32_t) <= sizeof(T), "rows are given the room of as many values");
  const int64_t count = head.block * head.num_samples;
  return {count,
          scratch,
          scratch + count,
          scratch + 2 * count,
          scratch + 3 * count,
          reinterpret_cast<int32_t*>(scratch + 7 * count),
          scratch + 11 * count,
          scratch + 15 * count};
}

// Bring locations and weights of queries [first, last) together.
template <typename T>
GVSEG_INLINE void collect(const Head<T>& head, int64_t first, int64_t last,
                          const Samples<T>& samples) {
  const int64_t n = head.num_samples;
  for (int64_t query = first; query < last; ++query) {
    const T* locations = head.locations + query * head.heads * n * 2;
    const T* weights = head.weights + query * head.heads * n;
    T* x = samples.x + (query - first) * n;
    T* y = samples.y + (query - first) * n;
    T* weight = samples.weight + (query - first) * n;
    GVSEG_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
      x[i] = locations[2 * i];
      y[i] = locations[2 * i + 1];
      weight[i] = weights[i];
    }
  }
}

// Turn `count` locations into rows, shares and fractions: no branch, no call.
template <typename T>
GVSEG_INLINE void place(const Head<T>& head, int64_t count, const Samples<T>& samples) {
  const int32_t* heights = head.height;
  const int32_t* widths = head.width;
  const int32_t* starts = head.start;
  const T* weights = samples.weight;
  T* xs = samples.x;
  T* ys = samples.y;
  T* share0 = samples.share;
  T* share1 = share0 + samples.count;
  T* share2 = share1 + samples.count;
  T* share3 = share2 + samples.count;
  int32_t* row0 = samples.row;
  int32_t* row1 = row0 + samples.count;
  int32_t* row2 = row1 + samples.count;
  int32_t* row3 = row2 + samples.count;
  const int32_t outside = static_cast<int32_t>(head.num_pixels);
  const int32_t pitch = static_cast<int32_t>(head.pitch);
  GVSEG_INDEPENDENT
  for (int64_t i = 0; i < count; ++i) {
    const int32_t width = widths[i];
    const int32_t height = heights[i];
    const AxisPosition<T> x = locate(xs[i], width);
    const AxisPosition<T> y = locate(ys[i], height);
    const bool left = inside(x.pixel, width);
    const bool right = inside(x.pixel + 1, width);
    const bool top = inside(y.pixel, height);
    const bool bottom = inside(y.pixel + 1, height);
    const int32_t corner = starts[i] + y.pixel * width + x.pixel;
    row0[i] = ((top & left) ? corner : outside) * pitch;
    row1[i] = ((top & right) ? corner + 1 : outside) * pitch;
    row2[i] = ((bottom & left) ? corner + width : outside) * pitch;
    row3[i] = ((bottom & right) ? corner + width + 1 : outside) * pitch;
    const T lower = y.fraction * weights[i];
    const T upper = weights[i] - lower;
    share1[i] = upper * x.fraction;
    share0[i] = upper - share1[i];
    share3[i] = lower * x.fraction;
    share2[i] = lower - share3[i];
    xs[i] = x.fraction;
    ys[i] = y.fraction;
  }
}

template <typename T>
void pack(const T* values, int64_t stride, const Head<T>& head, T* packed) {
  for (int64_t pixel = 0; pixel < head.num_pixels; ++pixel) {
    const T* source = values + pixel * stride;
    T* target = packed + pixel * head.pitch;
    for (int64_t channel = 0; channel < head.channels; ++channel) {
      target[channel] = source[channel];
    }
    for (int64_t channel = head.channels; channel < head.pitch; ++channel) {
      target[channel] = 0;
    }
  }
  for (int64_t channel = 0; channel < head.pitch; ++channel) {
    packed[head.num_pixels * head.pitch + channel] = 0;
  }
}

}  // namespace
}  // namespace gvseg::cpu

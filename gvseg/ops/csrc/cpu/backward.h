// The backward kernel; see samples.h for how it is compiled.
#pragma once

#include "samples.h"

namespace gvseg::cpu {
namespace {

// Sums of the lanes of four vectors are added to target[0..3].
template <typename T>
GVSEG_INLINE void add_sums(const Vector<T>* sums, T* target) {
  for (int corner = 0; corner < 4; ++corner) {
    T total = 0;
    for (int lane = 0; lane < VectorOf<T>::lanes; ++lane) {
      total += sums[corner][lane];
    }
    target[corner] += total;
  }
}

#if defined(__x86_64__) && GVSEG_VECTOR_BYTES == 32
template <>
GVSEG_INLINE void add_sums<float>(const Vector<float>* sums, float* target) {
  const __m256 ab = _mm256_hadd_ps((__m256)sums[0], (__m256)sums[1]);
  const __m256 cd = _mm256_hadd_ps((__m256)sums[2], (__m256)sums[3]);
  const __m256 halves = _mm256_hadd_ps(ab, cd);
  const __m128 total = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
  _mm_storeu_ps(target, _mm_add_ps(_mm_loadu_ps(target), total));
}
#elif defined(__SSE2__)
template <>
GVSEG_INLINE void add_sums<float>(const Vector<float>* sums, float* target) {
  __m128 a = (__m128)sums[0], b = (__m128)sums[1], c = (__m128)sums[2], d = (__m128)sums[3];
  _MM_TRANSPOSE4_PS(a, b, c, d);
  const __m128 total = _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d));
  _mm_storeu_ps(target, _mm_add_ps(_mm_loadu_ps(target), total));
}
#elif defined(__ARM_NEON) && defined(__aarch64__)
template <>
GVSEG_INLINE void add_sums<float>(const Vector<float>* sums, float* target) {
  const float32x4_t ab = vpaddq_f32((float32x4_t)sums[0], (float32x4_t)sums[1]);
  const float32x4_t cd = vpaddq_f32((float32x4_t)sums[2], (float32x4_t)sums[3]);
  vst1q_f32(target, vaddq_f32(vld1q_f32(target), vpaddq_f32(ab, cd)));
}
#endif

// V vectors of one query: dot products with the values, gradients of the values.
template <typename T, int V>
GVSEG_INLINE void scatter(const Head<T>& head, T* packed, const int32_t* rows, const T* shares,
                          int64_t count, const T* grad_output, T* dots) {
  constexpr int64_t lanes = VectorOf<T>::lanes;
  Vector<T> grad[V];
  for (int v = 0; v < V; ++v) {
    grad[v] = load(grad_output + v * lanes);
  }
  for (int64_t i = 0; i < head.num_samples; ++i) {
    Vector<T> sums[4] = {};
    for (int corner = 0; corner < 4; ++corner) {
      const T* source = packed + rows[corner * count + i];
      T* target = packed + rows[corner * count + i] + head.row;
      const T share = shares[corner * count + i];
      for (int v = 0; v < V; ++v) {
        sums[corner] += load(source + v * lanes) * grad[v];
        store(target + v * lanes, load(target + v * lanes) + grad[v] * share);
      }
    }
    add_sums(sums, dots + 4 * i);
  }
}

// Gradients of locations and weights of queries [first, last), from their dot products.
template <typename T>
GVSEG_INLINE void finish(const Head<T>& head, int64_t first, int64_t last,
                         const Samples<T>& samples, T* grad_locations, T* grad_weights) {
  const int64_t n = head.num_samples;
  const int32_t* heights = head.height;
  const int32_t* widths = head.width;
  for (int64_t query = first; query < last; ++query) {
    const int64_t slot = (query - first) * n;
    const T* dots = samples.dots + slot * 4;
    const T* weights = samples.weight + slot;
    const T* xs = samples.x + slot;
    const T* ys = samples.y + slot;
    T* to_locations = grad_locations + query * head.heads * n * 2;
    T* to_weights = grad_weights + query * head.heads * n;
    GVSEG_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
      const T across_top = dots[4 * i + 1] - dots[4 * i];
      const T across_bottom = dots[4 * i + 3] - dots[4 * i + 2];
      const T twist = across_bottom - across_top;
      const T slope_x = across_top + ys[i] * twist;
      const T slope_y = dots[4 * i + 2] - dots[4 * i] + xs[i] * twist;
      to_locations[2 * i] = weights[i] * static_cast<T>(widths[i]) * slope_x;
      to_locations[2 * i + 1] = weights[i] * static_cast<T>(heights[i]) * slope_y;
      to_weights[i] = dots[4 * i] + xs[i] * across_top + ys[i] * slope_y;
    }
  }
}

template <typename T>
void backward(const Head<T>& head, T* packed, const T* grad_output, T* grad_locations,
              T* grad_weights, T* scratch) {
  constexpr int64_t lanes = VectorOf<T>::lanes;
  const Samples<T> samples = carve(scratch, head);
  const int64_t n = head.num_samples;
  for (int64_t channel = 0; channel < head.row; ++channel) {
    samples.padded[channel] = 0;
  }
  for (int64_t first = 0; first < head.num_queries; first += head.block) {
    const int64_t last =
        first + head.block < head.num_queries ? first + head.block : head.num_queries;
    collect(head, first, last, samples);
    place(head, (last - first) * n, samples);
    for (int64_t i = 0; i < (last - first) * n * 4; ++i) {
      samples.dots[i] = 0;
    }
    for (int64_t query = first; query < last; ++query) {
      const int32_t* rows = samples.row + (query - first) * n;
      const T* shares = samples.share + (query - first) * n;
      T* dots = samples.dots + (query - first) * n * 4;
      const T* grad = grad_output + query * head.heads * head.channels;
      if (head.row != head.channels) {
        for (int64_t channel = 0; channel < head.channels; ++channel) {
          samples.padded[channel] = grad[channel];
        }
        grad = samples.padded;
      }
      int64_t c = 0;
      for (; c + 4 * lanes <= head.row; c += 4 * lanes) {
        scatter<T, 4>(head, packed + c, rows, shares, samples.count, grad + c, dots);
      }
      if (c + 2 * lanes <= head.row) {
        scatter<T, 2>(head, packed + c, rows, shares, samples.count, grad + c, dots);
        c += 2 * lanes;
      }
      if (c < head.row) {
        scatter<T, 1>(head, packed + c, rows, shares, samples.count, grad + c, dots);
      }
    }
    finish(head, first, last, samples, grad_locations, grad_weights);
  }
}

template <typename T>
BackwardKernel<T> backward_kernel() {
  return {{VectorOf<T>::lanes, 2, scratch_size<T>, pack<T>}, backward<T>};
}

}  // namespace
}  // namespace gvseg::cpu

// The forward kernel; see samples.h for how it is compiled.
#pragma once

#include "samples.h"

namespace gvseg::cpu {
namespace {

// V vectors of one query's output.
template <typename T, int V>
GVSEG_INLINE void gather(const T* values, const int32_t* rows, const T* shares, int64_t count,
                         int64_t n, T* output) {
  // Several sums per vector hide the latency of the additions; more would spill.
  constexpr int kSums = V <= 2 ? 4 : (V <= 4 ? 2 : 1);
  Vector<T> sums[kSums][V] = {};
  for (int64_t i = 0; i < n; ++i) {
    for (int corner = 0; corner < 4; ++corner) {
      const T* source = values + rows[corner * count + i];
      const T share = shares[corner * count + i];
      for (int v = 0; v < V; ++v) {
        sums[corner % kSums][v] += load(source + v * VectorOf<T>::lanes) * share;
      }
    }
  }
  for (int v = 0; v < V; ++v) {
    Vector<T> total = sums[0][v];
    for (int other = 1; other < kSums; ++other) {
      total += sums[other][v];
    }
    store(output + v * VectorOf<T>::lanes, total);
  }
}

template <typename T>
void forward(const Head<T>& head, const T* packed, int64_t begin, int64_t end, T* output,
             T* scratch) {
  constexpr int64_t lanes = VectorOf<T>::lanes;
  const Samples<T> samples = carve(scratch, head);
  const int64_t n = head.num_samples;
  for (int64_t first = begin; first < end; first += head.block) {
    const int64_t last = first + head.block < end ? first + head.block : end;
    collect(head, first, last, samples);
    place(head, (last - first) * n, samples);
    for (int64_t query = first; query < last; ++query) {
      const int32_t* rows = samples.row + (query - first) * n;
      const T* shares = samples.share + (query - first) * n;
      T* result = output + query * head.heads * head.channels;
      T* target = head.row == head.channels ? result : samples.padded;
      int64_t c = 0;
      for (; c + 4 * lanes <= head.row; c += 4 * lanes) {
        gather<T, 4>(packed + c, rows, shares, samples.count, n, target + c);
      }
      if (c + 2 * lanes <= head.row) {
        gather<T, 2>(packed + c, rows, shares, samples.count, n, target + c);
        c += 2 * lanes;
      }
      if (c < head.row) {
        gather<T, 1>(packed + c, rows, shares, samples.count, n, target + c);
      }
      if (target != result) {
        for (int64_t channel = 0; channel < head.channels; ++channel) {
          result[channel] = target[channel];
        }
      }
    }
  }
}

template <typename T>
ForwardKernel<T> forward_kernel() {
  return {{VectorOf<T>::lanes, 1, scratch_size<T>, pack<T>}, forward<T>};
}

}  // namespace
}  // namespace gvseg::cpu

// The CUDA kernels. T is the type of the values, A the one of locations, weights and sums; G
// threads of a group share a query of a head, V channels (16 bytes, or 1) of each at a time.
#pragma once

#include "indexing.cuh"

namespace gvseg::cuda {

constexpr unsigned kWholeWarp = 0xffffffffu;
constexpr int kMinBlocks = 4;  // of a multiprocessor: leaves registers enough that nothing spills

// V elements that are loaded or stored at once.
template <typename T, int V>
struct alignas(sizeof(T) * V) Chunk {
  T data[V];
};

template <typename T, int V, typename A>
__device__ __forceinline__ void load(const T* source, A (&target)[V]) {
  const Chunk<T, V> chunk = *reinterpret_cast<const Chunk<T, V>*>(source);
#pragma unroll
  for (int i = 0; i < V; ++i) {
    target[i] = static_cast<A>(chunk.data[i]);
  }
}

template <typename T, int V, typename A>
__device__ __forceinline__ void store(const A (&source)[V], T* target) {
  Chunk<T, V> chunk;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    chunk.data[i] = static_cast<T>(source[i]);
  }
  *reinterpret_cast<Chunk<T, V>*>(target) = chunk;
}

// Since PTX 8.1, which came with CUDA 12.1.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && \
    __CUDACC_VER_MAJOR__ * 100 + __CUDACC_VER_MINOR__ >= 1201
constexpr bool kHasVectorRed = true;
#else
constexpr bool kHasVectorRed = false;
#endif

// Add to memory that other threads add to. Nothing is returned, so these are `red` instructions.
template <int V, typename A>
__device__ __forceinline__ void add(const A (&source)[V], A scale, A* target) {
  if constexpr (kHasVectorRed && V % 4 == 0 && sizeof(A) == 4) {
#pragma unroll
    for (int i = 0; i < V; i += 4) {
      asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(target + i),
                   "f"(source[i] * scale), "f"(source[i + 1] * scale), "f"(source[i + 2] * scale),
                   "f"(source[i + 3] * scale)
                   : "memory");
    }
  } else {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      atomicAdd(target + i, source[i] * scale);
    }
  }
}

// What the groups of a block tell their threads about each sample: one entry per thread.
template <typename A>
struct Board {
  Chunk<int32_t, 4> offset[kThreads];  // of the corners' pixels, in elements
  Chunk<A, 4> share[kThreads];

  __device__ __forceinline__ void post(const Sample<A>& sample, int32_t pixel_stride) {
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      offset[threadIdx.x].data[corner] = sample.pixel(corner) * pixel_stride;
      share[threadIdx.x].data[corner] = sample.share(corner);
    }
  }
};

// The part of the work that a thread's block, group and lane decide.
struct Place {
  int32_t lane;    // in the group
  int32_t leader;  // thread of the block that has lane 0 of the group
  int64_t value;   // first element of this head's values
  int64_t query;   // (batch, query, head) as one index; 0 where there is none
  bool exists;
};

__device__ __forceinline__ Place find_place(const Shape& shape, const QueryTable& queries) {
  const int32_t head = blockIdx.y;
  const int64_t batch = blockIdx.z;
  const int32_t lane = threadIdx.x & (shape.group() - 1);
  const int32_t query = query_at(queries, shape, blockIdx.x, threadIdx.x >> shape.group_shift);
  const int64_t value = (batch * shape.pixels * shape.heads + head) * shape.channels;
  const int64_t row = (batch * shape.queries + query) * shape.heads + head;
  return {lane, static_cast<int32_t>(threadIdx.x) - lane, value, query < 0 ? 0 : row, query >= 0};
}

template <typename A>
__device__ __forceinline__ Sample<A> read_sample(const LevelTable& levels, const Shape& shape,
                                                 const Place& place, int32_t index,
                                                 const A* locations, const A* weights) {
  // Lanes without a sample of their own prepare sample 0 with no weight; nobody reads it.
  const bool exists = place.exists && index < shape.samples;
  const int32_t known = exists ? index : 0;
  const int64_t at = place.query * shape.samples + known;
  return sample_at(levels, shape, known, locations + at * 2, exists ? weights[at] : A(0));
}

template <typename T, typename A, int V>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    forward_kernel(const T* __restrict__ values, const A* __restrict__ locations,
                   const A* __restrict__ weights, T* __restrict__ output, const Shape shape,
                   const LevelTable levels, const QueryTable queries) {
  __shared__ Board<A> board;
  const Place place = find_place(shape, queries);
  const int32_t group = shape.group();
  const int32_t stride = shape.heads * shape.channels;
  for (int32_t first_channel = 0; first_channel < shape.channels; first_channel += group * V) {
    const int32_t channel = first_channel + place.lane * V;
    // Lanes beyond the last channel load what lane 0 loads.
    const T* source = values + place.value + (channel < shape.channels ? channel : 0);
    A sums[V] = {};
    for (int32_t first_sample = 0; first_sample < shape.samples; first_sample += group) {
      const int32_t index = first_sample + place.lane;
      board.post(read_sample(levels, shape, place, index, locations, weights), stride);
      __syncwarp();
      const int32_t rest = shape.samples - first_sample;
      const int32_t count = rest < group ? rest : group;
      for (int32_t k = 0; k < count; ++k) {
        const Chunk<int32_t, 4> offset = board.offset[place.leader + k];
        const Chunk<A, 4> share = board.share[place.leader + k];
        A corner[4][V] = {};
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          // A pixel that stands in for one outside may be infinite, and 0 times that is NaN.
          if (share.data[c] != 0) {
            load(source + offset.data[c], corner[c]);
          }
        }
#pragma unroll
        for (int c = 0; c < 4; ++c) {
#pragma unroll
          for (int i = 0; i < V; ++i) {
            sums[i] += share.data[c] * corner[c][i];
          }
        }
      }
      __syncwarp();
    }
    if (place.exists && channel < shape.channels) {
      store(sums, output + place.query * shape.channels + channel);
    }
  }
}

// Sum each of four numbers over the lanes of a group. Halving what a lane holds at each of the
// first two steps takes G = 8 from 12 shuffles to 4; lanes c * G/4 to (c + 1) * G/4 return the sum
// of number c.
template <typename A>
__device__ __forceinline__ A sum_corners(const A (&dots)[4], int32_t lane, int32_t group) {
  const bool low = lane & (group / 2);
  const bool right = lane & (group / 4);
  A left_sum = low ? dots[2] : dots[0];
  A right_sum = low ? dots[3] : dots[1];
  left_sum += __shfl_xor_sync(kWholeWarp, low ? dots[0] : dots[2], group / 2);
  right_sum += __shfl_xor_sync(kWholeWarp, low ? dots[1] : dots[3], group / 2);
  A sum = right ? right_sum : left_sum;
  sum += __shfl_xor_sync(kWholeWarp, right ? left_sum : right_sum, group / 4);
  for (int32_t step = group / 8; step > 0; step /= 2) {
    sum += __shfl_xor_sync(kWholeWarp, sum, step);
  }
  return sum;
}

template <typename T, typename A, int V>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    backward_kernel(const T* __restrict__ grad_output, const T* __restrict__ values,
                    const A* __restrict__ locations, const A* __restrict__ weights,
                    A* __restrict__ grad_values, A* __restrict__ grad_locations,
                    A* __restrict__ grad_weights, const Shape shape, const LevelTable levels,
                    const QueryTable queries) {
  __shared__ Board<A> board;
  __shared__ Chunk<A, 4> dots[kThreads];  // grad_output times the values of each corner
  const Place place = find_place(shape, queries);
  const int32_t group = shape.group();
  const int32_t stride = shape.heads * shape.channels;
  for (int32_t first_sample = 0; first_sample < shape.samples; first_sample += group) {
    const int32_t index = first_sample + place.lane;
    const Sample<A> sample = read_sample(levels, shape, place, index, locations, weights);
    board.post(sample, stride);
    dots[threadIdx.x] = {};
    __syncwarp();
    const int32_t rest = shape.samples - first_sample;
    const int32_t count = rest < group ? rest : group;
    for (int32_t first_channel = 0; first_channel < shape.channels; first_channel += group * V) {
      const int32_t channel = first_channel + place.lane * V;
      const bool has_channel = place.exists && channel < shape.channels;
      A grad[V] = {};
      if (has_channel) {
        load(grad_output + place.query * shape.channels + channel, grad);
      }
      const int64_t base = place.value + (has_channel ? channel : 0);
#pragma unroll 1
      for (int32_t k = 0; k < count; ++k) {
        const Chunk<int32_t, 4> offset = board.offset[place.leader + k];
        const Chunk<A, 4> share = board.share[place.leader + k];
        A partial[4] = {};
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          A corner[V];
          load(values + base + offset.data[c], corner);
#pragma unroll
          for (int i = 0; i < V; ++i) {
            partial[c] += grad[i] * corner[i];
          }
        }
        const A sum = sum_corners(partial, place.lane, group);
        if ((place.lane & (group / 4 - 1)) == 0) {
          dots[place.leader + k].data[place.lane >> (shape.group_shift - 2)] += sum;
        }
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          if (has_channel && share.data[c] != 0) {
            add(grad, share.data[c], grad_values + base + offset.data[c]);
          }
        }
      }
    }
    __syncwarp();
    if (place.exists && index < shape.samples) {
      A dot[4];
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        dot[c] = sample.has_corner(c) ? dots[threadIdx.x].data[c] : A(0);
      }
      const A across_top = dot[1] - dot[0];
      const A twist = dot[3] - dot[2] - across_top;
      const A slope_x = across_top + sample.y.fraction * twist;
      const A slope_y = dot[2] - dot[0] + sample.x.fraction * twist;
      const int64_t at = place.query * shape.samples + index;
      grad_locations[at * 2] = sample.weight * static_cast<A>(sample.width) * slope_x;
      grad_locations[at * 2 + 1] = sample.weight * static_cast<A>(sample.height) * slope_y;
      grad_weights[at] = dot[0] + sample.x.fraction * across_top + sample.y.fraction * slope_y;
    }
  }
}

}  // namespace gvseg::cuda

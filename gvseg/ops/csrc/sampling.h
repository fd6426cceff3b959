// Where a sampling location falls among the pixels of a level: the index maths of every kernel.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define GVSEG_INLINE __host__ __device__ __forceinline__
#else
#define GVSEG_INLINE inline __attribute__((always_inline))
#endif

namespace gvseg {
// Unnamed, so that copies compiled for different instruction sets are never merged by the linker.
namespace {

// The pixel at or before a position along one axis, and how far the position lies beyond its
// centre. Both the pixel and the one after it may lie outside of the level.
template <typename T>
struct AxisPosition {
  int32_t pixel;
  T fraction;
};

// `location` spans the level from 0 to 1, and pixel centres lie at (i + 0.5) / size
// (align_corners=False). Clamping to [-2, 3] changes no result, for both neighbours are outside
// there, but keeps the conversion to int defined; a NaN fails the first comparison and becomes -2.
template <typename T>
GVSEG_INLINE AxisPosition<T> locate(T location, int32_t size) {
  const T extent = static_cast<T>(size);
  location = location > T(-2) ? location : T(-2);
  location = location < T(3) ? location : T(3);
  const T position = location * extent - T(0.5);
  int32_t pixel = static_cast<int32_t>(position);  // rounds towards zero, so
  pixel -= position < static_cast<T>(pixel);       // negative positions are one too high
  // From the location again: as one fused multiply-add this rounds at the scale of the fraction
  // and not at that of the position.
  return {pixel, location * extent - (static_cast<T>(pixel) + T(0.5))};
}

GVSEG_INLINE bool inside(int32_t pixel, int32_t size) {
  return static_cast<uint32_t>(pixel) < static_cast<uint32_t>(size);
}

}  // namespace
}  // namespace gvseg

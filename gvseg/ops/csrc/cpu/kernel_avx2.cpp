// Vectors of 32 bytes: AVX2 and FMA.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

#include "kernels.h"

// After every foreign header, so that only this project's functions are compiled for the target.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define GVSEG_VECTOR_BYTES 32
#include "backward.h"
#include "forward.h"

namespace gvseg::cpu {
template <>
ForwardKernel<float> avx2_forward<float>() {
  return forward_kernel<float>();
}
template <>
ForwardKernel<double> avx2_forward<double>() {
  return forward_kernel<double>();
}
template <>
BackwardKernel<float> avx2_backward<float>() {
  return backward_kernel<float>();
}
template <>
BackwardKernel<double> avx2_backward<double>() {
  return backward_kernel<double>();
}
}  // namespace gvseg::cpu

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

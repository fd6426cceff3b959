// Vectors of 64 bytes: AVX-512.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

#include "kernels.h"

// After every foreign header, so that only this project's functions are compiled for the target.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,fma")
#endif

#define GVSEG_VECTOR_BYTES 64
#include "forward.h"

namespace gvseg::cpu {
template <>
ForwardKernel<float> avx512_forward<float>() {
  return forward_kernel<float>();
}
template <>
ForwardKernel<double> avx512_forward<double>() {
  return forward_kernel<double>();
}
}  // namespace gvseg::cpu

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

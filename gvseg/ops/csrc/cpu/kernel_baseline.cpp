// Vectors of 16 bytes: SSE2, which every x86-64 has, or NEON, which every 64-bit Arm has.
#if defined(__SSE2__)
#include <emmintrin.h>
#include <xmmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define GVSEG_VECTOR_BYTES 16
#include "backward.h"
#include "forward.h"

namespace gvseg::cpu {
template <>
ForwardKernel<float> baseline_forward<float>() {
  return forward_kernel<float>();
}
template <>
ForwardKernel<double> baseline_forward<double>() {
  return forward_kernel<double>();
}
template <>
BackwardKernel<float> baseline_backward<float>() {
  return backward_kernel<float>();
}
template <>
BackwardKernel<double> baseline_backward<double>() {
  return backward_kernel<double>();
}
}  // namespace gvseg::cpu

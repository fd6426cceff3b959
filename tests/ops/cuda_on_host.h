// CUDA's warp operations on a CPU, so that the kernels' own source runs in tests without a GPU.
//
// The 32 threads of a warp are contexts that take turns. A thread runs until it reaches an
// operation that needs the others, then the next one runs; when all have reached it, all go on.
// Threads that wait at different operations are an error, as on a GPU.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct Index3 {
  unsigned x, y, z;
};
inline Index3 threadIdx, blockIdx;

namespace host {

constexpr int kWarp = 32;
enum Operation { kFinished, kSync, kShuffle };

class Warp {
 public:
  void run(unsigned first_thread, const std::function<void()>& kernel) {
    first_thread_ = first_thread;
    kernel_ = &kernel;
    for (int lane = 0; lane < kWarp; ++lane) {
      getcontext(&lanes_[lane]);
      lanes_[lane].uc_stack.ss_sp = stacks_[lane].data();
      lanes_[lane].uc_stack.ss_size = stacks_[lane].size();
      lanes_[lane].uc_link = &scheduler_;
      makecontext(&lanes_[lane], &Warp::enter, 0);
    }
    do {
      // Another order at each turn: a result that depends on it lacks a synchronisation.
      order_ = order_ * 5 % 31 + 1;
      for (int turn = 0; turn < kWarp; ++turn) {
        current_ = (turn * 7 + order_) % kWarp;
        threadIdx.x = first_thread_ + current_;
        waits_[current_] = kFinished;
        swapcontext(&scheduler_, &lanes_[current_]);
      }
      if (std::count(waits_, waits_ + kWarp, waits_[0]) != kWarp) {
        throw std::logic_error("threads of a warp wait at different operations");
      }
    } while (waits_[0] != kFinished);
  }

  void wait(Operation operation) {
    waits_[current_] = operation;
    swapcontext(&lanes_[current_], &scheduler_);
  }

  template <typename T>
  T exchange(T value, int mask) {
    std::memcpy(slots_[current_], &value, sizeof(T));
    wait(kShuffle);
    std::memcpy(&value, slots_[current_ ^ mask], sizeof(T));
    wait(kSync);
    return value;
  }

 private:
  static void enter();

  ucontext_t scheduler_;
  ucontext_t lanes_[kWarp];
  std::vector<char> stacks_[kWarp] = {};
  char slots_[kWarp][8];
  Operation waits_[kWarp];
  int current_ = 0;
  int order_ = 1;
  unsigned first_thread_ = 0;
  const std::function<void()>* kernel_ = nullptr;

 public:
  Warp() {
    for (auto& stack : stacks_) {
      stack.resize(1 << 16);
    }
  }
};

inline Warp warp;

inline void Warp::enter() { (*warp.kernel_)(); }

// Run a kernel that needs nothing of other warps: those of a block run one after the other.
inline void launch(Index3 blocks, unsigned threads, const std::function<void()>& kernel) {
  for (blockIdx.z = 0; blockIdx.z < blocks.z; ++blockIdx.z) {
    for (blockIdx.y = 0; blockIdx.y < blocks.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < blocks.x; ++blockIdx.x) {
        for (unsigned first = 0; first < threads; first += kWarp) {
          warp.run(first, kernel);
        }
      }
    }
  }
}

}  // namespace host

inline void __syncwarp() { host::warp.wait(host::kSync); }

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return host::warp.exchange(value, mask);
}

template <typename T>
void atomicAdd(T* target, T value) {
  *target += value;
}

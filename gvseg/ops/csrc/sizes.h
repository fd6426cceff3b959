// The sizes of one call, as the kernels of every device take them.
#pragma once

#include <cstdint>
#include <vector>

namespace gvseg {

struct Level {
  int32_t height;
  int32_t width;
  int32_t start;  // first pixel of the level
};

struct Sizes {
  int64_t batch;
  int64_t pixels;  // of all levels
  int64_t heads;
  int64_t channels;  // of a head
  int64_t queries;
  int64_t points;
  std::vector<Level> levels;
};

}  // namespace gvseg

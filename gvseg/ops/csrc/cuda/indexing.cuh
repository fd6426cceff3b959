// Which query, pixel and channel a thread works on.
//
// A block works on a tile of queries of one head. G threads share a query, each with V channels at
// a time, and a warp holds whole queries, so that threads of a query talk by warp operations alone.
#pragma once

#include "../sampling.h"

namespace gvseg::cuda {

constexpr int kThreads = 256;  // of a block
constexpr int kMaxLevels = 32;
constexpr int kTileWidth = 8;  // queries

// Levels of the values, as an argument that lies in constant memory.
struct LevelTable {
  int32_t height[kMaxLevels];
  int32_t width[kMaxLevels];
  int32_t start[kMaxLevels];
};

// Where queries lie in the plane. If they are the pixels of the levels themselves, tiles are
// squares of neighbours: these sample the same pixels, which then come out of the L1 cache. In a
// model of that cache, squares of 32 queries of 720p frames read a third of what 4 queries of 8
// heads read from L2.
struct QueryTable {
  int32_t num_grids;
  int32_t height[kMaxLevels];
  int32_t width[kMaxLevels];
  int32_t start[kMaxLevels];    // first query
  int32_t columns[kMaxLevels];  // tiles in a row
  int32_t first_tile[kMaxLevels];
};

struct Shape {
  int32_t pixels;  // of all levels
  int32_t heads;
  int32_t channels;  // of a head
  int32_t queries;
  int32_t samples;             // of a query and head: levels * points
  uint32_t points_reciprocal;  // 2^31 / points + 1
  int32_t group_shift;         // log2 of G, from 2 to 5

  GVSEG_INLINE int32_t group() const { return 1 << group_shift; }
  // index / points, exact while samples * points < 2^31; a division would take twenty instructions.
  GVSEG_INLINE int32_t level_of(int32_t index) const {
    return static_cast<int32_t>(static_cast<uint64_t>(index) * points_reciprocal >> 31);
  }
};

// The tile's query at a slot from 0 to kThreads / G, or -1 where the tile reaches beyond.
GVSEG_INLINE int32_t query_at(const QueryTable& table, const Shape& shape, int32_t tile,
                              int32_t slot) {
  int32_t grid = 0;
  while (grid + 1 < table.num_grids && tile >= table.first_tile[grid + 1]) {
    ++grid;
  }
  const uint32_t local = static_cast<uint32_t>(tile - table.first_tile[grid]);
  const uint32_t columns = static_cast<uint32_t>(table.columns[grid]);
  const int32_t tile_height = kThreads / kTileWidth >> shape.group_shift;
  const int32_t row = local / columns * tile_height + slot / kTileWidth;
  const int32_t column = local % columns * kTileWidth + slot % kTileWidth;
  const int32_t query = table.start[grid] + row * table.width[grid] + column;
  const bool exists =
      row < table.height[grid] && column < table.width[grid] && query < shape.queries;
  return exists ? query : -1;
}

// The sample that one thread prepares for its group.
template <typename A>
struct Sample {
  int32_t width;
  int32_t height;
  AxisPosition<A> x;
  AxisPosition<A> y;
  A weight;
  int32_t start;

  GVSEG_INLINE bool has_corner(int corner) const {
    return inside(x.pixel + (corner & 1), width) && inside(y.pixel + (corner >> 1), height);
  }
  // The corner's pixel or, where it lies outside, the nearest one inside: its share is zero.
  GVSEG_INLINE int32_t pixel(int corner) const {
    return start + clamp(y.pixel + (corner >> 1), height) * width +
           clamp(x.pixel + (corner & 1), width);
  }
  // Attention weight times bilinear weight, zero outside.
  GVSEG_INLINE A share(int corner) const {
    return weight * part(y, corner >> 1, height) * part(x, corner & 1, width);
  }

 private:
  GVSEG_INLINE static A part(const AxisPosition<A>& position, int second, int32_t size) {
    const A part = second ? position.fraction : 1 - position.fraction;
    return inside(position.pixel + second, size) ? part : A(0);
  }
  GVSEG_INLINE static int32_t clamp(int32_t position, int32_t size) {
    position = position > 0 ? position : 0;
    return position < size - 1 ? position : size - 1;
  }
};

template <typename A>
GVSEG_INLINE Sample<A> sample_at(const LevelTable& levels, const Shape& shape, int32_t index,
                                 const A* location, A weight) {
  const int32_t level = shape.level_of(index);
  const int32_t width = levels.width[level];
  const int32_t height = levels.height[level];
  return {width,
          height,
          locate(location[0], width),
          locate(location[1], height),
          weight,
          levels.start[level]};
}

}  // namespace gvseg::cuda

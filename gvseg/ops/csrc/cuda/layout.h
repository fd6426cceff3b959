// How the work of a call is cut into blocks and groups of threads.
#pragma once

#include "../sizes.h"
#include "indexing.cuh"

namespace gvseg::cuda {

// How a call is laid out over the device.
struct Layout {
  Shape shape;
  LevelTable levels;
  QueryTable queries;
  int32_t tiles;  // blocks of each head of each batch element
};

// The plane that queries lie in: their levels if they are the pixels, else rows of a tile's width.
inline QueryTable query_table(const Sizes& sizes, int32_t tile_height, int32_t* tiles) {
  QueryTable table{};
  const auto add = [&](int64_t height, int64_t width, int64_t start) {
    const int grid = table.num_grids++;
    table.height[grid] = static_cast<int32_t>(height);
    table.width[grid] = static_cast<int32_t>(width);
    table.start[grid] = static_cast<int32_t>(start);
    table.columns[grid] = static_cast<int32_t>((width + kTileWidth - 1) / kTileWidth);
    table.first_tile[grid] = *tiles;
    *tiles += table.columns[grid] * static_cast<int32_t>((height + tile_height - 1) / tile_height);
  };
  *tiles = 0;
  if (sizes.queries == sizes.pixels) {
    for (const Level& level : sizes.levels) {
      add(level.height, level.width, level.start);
    }
  } else {
    add((sizes.queries + kTileWidth - 1) / kTileWidth, kTileWidth, 0);
  }
  return table;
}

// `vector` is the number of channels that a thread loads at once.
inline Layout make_layout(const Sizes& sizes, int64_t vector) {
  const auto num_levels = static_cast<int64_t>(sizes.levels.size());
  Layout layout{};
  int32_t group_shift = 2;
  while (group_shift < 5 && (vector << group_shift) < sizes.channels) {
    ++group_shift;
  }
  layout.queries = query_table(sizes, kThreads / kTileWidth >> group_shift, &layout.tiles);
  for (int64_t i = 0; i < num_levels; ++i) {
    layout.levels.height[i] = sizes.levels[i].height;
    layout.levels.width[i] = sizes.levels[i].width;
    layout.levels.start[i] = sizes.levels[i].start;
  }
  layout.shape = {static_cast<int32_t>(sizes.pixels),
                  static_cast<int32_t>(sizes.heads),
                  static_cast<int32_t>(sizes.channels),
                  static_cast<int32_t>(sizes.queries),
                  static_cast<int32_t>(num_levels * sizes.points),
                  static_cast<uint32_t>((int64_t(1) << 31) / sizes.points + 1),
                  group_shift};
  return layout;
}

}  // namespace gvseg::cuda

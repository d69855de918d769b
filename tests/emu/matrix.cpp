// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ldmatrix, movmatrix and the matrix multiplications, with the fragment layouts of the PTX ISA.
#include "collectives.hpp"

#include <linattn/core/element.hpp>

#include <cmath>
#include <cstring>

namespace linattn::inline LINATTN_ABI::emu {

namespace detail {

namespace {

struct place {
  int row, column;
};

// Element i of a lane's fragment. A is (m, k), B is (k, n), C is (m, n).
place a_16bit(int lane, int i) { return {lane / 4 + i / 2 % 2 * 8, lane % 4 * 2 + i % 2 + i / 4 * 8}; }
place b_16bit(int lane, int i) { return {lane % 4 * 2 + i % 2 + i / 2 * 8, lane / 4}; }
place a_tf32(int lane, int i) { return {lane / 4 + i % 2 * 8, lane % 4 + i / 2 * 4}; }
place b_tf32(int lane, int i) { return {lane % 4 + i * 4, lane / 4}; }
place c_32bit(int lane, int i) { return {lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2}; }

struct ldmatrix_data {
  std::uint32_t row;
  std::uint32_t* r;
};

/// Rows of one 8x8 matrix that meet in the same four banks. A row that several lanes name is read once.
unsigned bank_conflicts(std::uint32_t const (&rows)[8]) {
  unsigned banks = 0;
  unsigned conflicts = 0;
  for (int i = 0; i < 8; ++i) {
    bool seen = false;
    for (int k = 0; k < i; ++k) {
      seen = seen || rows[k] == rows[i];
    }
    unsigned const bank = 1U << (rows[i] / 16 % 8);
    conflicts += !seen && (banks & bank) != 0 ? 1 : 0;
    banks |= seen ? 0 : bank;
  }
  return conflicts;
}

void run_ldmatrix(void* const* lanes, std::uint32_t /*mask*/, std::uint64_t variant) {
  int const count = static_cast<int>(variant / 2);
  bool const transposed = variant % 2 != 0;
  ++current_stats().ldmatrix;
  for (int matrix = 0; matrix < count; ++matrix) {
    std::uint16_t element[8][8];
    std::uint32_t rows[8];
    for (int i = 0; i < 8; ++i) {
      rows[i] = static_cast<ldmatrix_data const*>(lanes[matrix * 8 + i])->row;
      std::memcpy(element[i], at_shared(rows[i]), 16);
    }
    current_stats().ldmatrix_conflicts += bank_conflicts(rows);
    for (int lane = 0; lane < 32; ++lane) {
      int const major = lane / 4;
      int const minor = lane % 4 * 2;
      std::uint32_t const low = transposed ? element[minor][major] : element[major][minor];
      std::uint32_t const high = transposed ? element[minor + 1][major] : element[major][minor + 1];
      static_cast<ldmatrix_data const*>(lanes[lane])->r[matrix] = low | high << 16U;
    }
  }
}

struct movmatrix_data {
  std::uint32_t from;
  std::uint32_t to;
};

void run_movmatrix_trans(void* const* lanes, std::uint32_t /*mask*/, std::uint64_t /*variant*/) {
  auto const element = [&](int row, int column) {
    std::uint32_t const pair = static_cast<movmatrix_data const*>(lanes[row * 4 + column / 2])->from;
    return pair >> (column % 2 * 16) & 0xffffU;
  };
  for (int lane = 0; lane < 32; ++lane) {
    int const row = lane / 4;
    int const column = lane % 4 * 2;
    static_cast<movmatrix_data*>(lanes[lane])->to = element(column, row) | element(column + 1, row) << 16U;
  }
}

struct mma_data {
  std::uint32_t a[4], b[2];
  float c[4];
};

template <std::size_t K>
struct mma_tile {
  float a[16][K], b[K][8], c[16][8];
};

/// c += a b. Products of the operands' 11 bits are exact in float; the sum is rounded after each, in the order of k.
template <std::size_t K, class Fill>
void run_tile(void* const* lanes, Fill fill) {
  mma_tile<K> tile;
  for (int lane = 0; lane < 32; ++lane) {
    auto const& data = *static_cast<mma_data const*>(lanes[lane]);
    fill(tile, data, lane);
    for (int i = 0; i < 4; ++i) {
      place const at = c_32bit(lane, i);
      tile.c[at.row][at.column] = data.c[i];
    }
  }
  for (std::size_t m = 0; m < 16; ++m) {
    for (std::size_t k = 0; k < K; ++k) {
      for (std::size_t n = 0; n < 8; ++n) {
        tile.c[m][n] += tile.a[m][k] * tile.b[k][n];
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      place const at = c_32bit(lane, i);
      static_cast<mma_data*>(lanes[lane])->c[i] = tile.c[at.row][at.column];
    }
  }
}

template <class Element>
void run_16bit(void* const* lanes) {
  auto const element = [](std::uint32_t const* registers, int i) {
    Element value;
    value.bits = static_cast<std::uint16_t>(registers[i / 2] >> (i % 2 * 16));
    return static_cast<float>(value);
  };
  run_tile<16>(lanes, [&](mma_tile<16>& tile, mma_data const& data, int lane) {
    for (int i = 0; i < 8; ++i) {
      place const at = a_16bit(lane, i);
      tile.a[at.row][at.column] = element(data.a, i);
    }
    for (int i = 0; i < 4; ++i) {
      place const at = b_16bit(lane, i);
      tile.b[at.row][at.column] = element(data.b, i);
    }
  });
}

void run_tf32(void* const* lanes) {
  auto const element = [](std::uint32_t bits) { return linattn::detail::float_of_bits(bits & ~0x1fffU); };
  run_tile<8>(lanes, [&](mma_tile<8>& tile, mma_data const& data, int lane) {
    for (int i = 0; i < 4; ++i) {
      place const at = a_tf32(lane, i);
      tile.a[at.row][at.column] = element(data.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      place const at = b_tf32(lane, i);
      tile.b[at.row][at.column] = element(data.b[i]);
    }
  });
}

void run_mma(void* const* lanes, std::uint32_t /*mask*/, std::uint64_t kind) {
  ++current_stats().mma;
  switch (static_cast<mma_kind>(kind)) {
    case mma_kind::m16n8k16_bf16:
      run_16bit<bf16>(lanes);
      break;
    case mma_kind::m16n8k16_f16:
      run_16bit<f16>(lanes);
      break;
    case mma_kind::m16n8k8_tf32:
      run_tf32(lanes);
      break;
  }
}

struct mma_f64_data {
  double a, b;
  double c[2];
};

/// Lane l holds a(l / 4, l % 4), b(l % 4, l / 4) and c(l / 4, l % 4 * 2 + i).
void run_mma_f64(void* const* lanes, std::uint32_t /*mask*/, std::uint64_t /*variant*/) {
  ++current_stats().mma;
  auto const data = [lanes](int lane) -> mma_f64_data& { return *static_cast<mma_f64_data*>(lanes[lane]); };
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 2; ++i) {
      int const row = lane / 4;
      int const column = lane % 4 * 2 + i;
      for (int k = 0; k < 4; ++k) {
        data(lane).c[i] = std::fma(data(row * 4 + k).a, data(column * 4 + k).b, data(lane).c[i]);
      }
    }
  }
}

}  // namespace
}  // namespace detail

void ldmatrix(std::uint32_t* r, int count, bool transposed, std::uint32_t row) {
  detail::executor_scope const scope;
  void const* const pc = __builtin_return_address(0);
  if (static_cast<int>(detail::current->id % detail::lanes_per_warp) < 8 * count) {
    if (row % 16 != 0) {
      detail::fail(fault::misaligned, pc,
                   detail::format("ldmatrix of a row at shared offset %d", static_cast<int>(row)));
    }
    detail::read_shared(static_cast<std::int32_t>(row), 16, pc);
  }
  detail::ldmatrix_data data{row, r};
  std::uint64_t const variant = static_cast<std::uint64_t>(count) * 2 + (transposed ? 1 : 0);
  detail::collective("ldmatrix", variant, ~0U, &data, detail::run_ldmatrix, detail::memory_order::none, pc);
}

std::uint32_t movmatrix_trans(std::uint32_t r) {
  detail::executor_scope const scope;
  detail::movmatrix_data data{r, 0};
  detail::collective("movmatrix", 0, ~0U, &data, detail::run_movmatrix_trans, detail::memory_order::none,
                     __builtin_return_address(0));
  return data.to;
}

void mma(mma_kind kind, float* c, std::uint32_t const* a, std::uint32_t b0, std::uint32_t b1) {
  detail::executor_scope const scope;
  detail::mma_data data{{a[0], a[1], a[2], a[3]}, {b0, b1}, {c[0], c[1], c[2], c[3]}};
  detail::collective("mma", static_cast<std::uint64_t>(kind), ~0U, &data, detail::run_mma, detail::memory_order::none,
                     __builtin_return_address(0));
  std::memcpy(c, data.c, sizeof(data.c));
}

void mma_m8n8k4_f64(double* c, double a, double b) {
  detail::executor_scope const scope;
  detail::mma_f64_data data{a, b, {c[0], c[1]}};
  detail::collective("mma f64", 0, ~0U, &data, detail::run_mma_f64, detail::memory_order::none,
                     __builtin_return_address(0));
  std::memcpy(c, data.c, sizeof(data.c));
}

}  // namespace linattn::inline LINATTN_ABI::emu

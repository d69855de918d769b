// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Random problems for the axes of a setup.
#include "support/setup.hpp"

#include "support/random.hpp"

#include <cstddef>
#include <numeric>

namespace linattn_test {
namespace {

using linattn::element_kind;
using std::size_t;

/// `heads` x `head_dim` numbers, each head's the same if the parameter has rank 1.
std::vector<double> parameter(random_source& source, bool present, int rank, std::int64_t heads, int head_dim,
                              element_kind kind, double mean) {
  if (!present) {
    return {};
  }
  auto const d = static_cast<size_t>(head_dim);
  std::vector<double> numbers = normal_numbers(source, static_cast<size_t>(heads) * d, kind, mean, 0.3);
  for (size_t i = d; rank == 1 && i < numbers.size(); ++i) {
    numbers[i] = numbers[i - d];
  }
  return numbers;
}

void repeat_first_head(std::vector<double>& numbers, std::int64_t heads, std::int64_t row) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    auto const size = static_cast<size_t>(row);
    auto const group = static_cast<size_t>(heads) * size;
    numbers[i] = numbers[i / group * group + i % size];
  }
}

/// What three tokens leave behind in every sequence and key head.
void make_initial_state(problem& p, random_source& source, element_kind kind) {
  std::vector<monomial> const phi = monomials_of(p.map, p.head_dim);
  auto const values = static_cast<size_t>(p.value_dim);
  auto const groups = static_cast<size_t>(p.kv_heads);
  auto const d = static_cast<size_t>(p.head_dim);
  auto const sequences = static_cast<size_t>(p.sequences());
  p.initial_kv.assign(sequences * groups * phi.size() * values, 0);
  p.initial_k_sum.assign(sequences * groups * phi.size(), 0);
  for (size_t n = 0; n < sequences; ++n) {
    for (int token = 0; token < 3; ++token) {
      std::vector<double> const x = normal_numbers(source, groups * d, element_kind::float64);
      std::vector<double> const v = normal_numbers(source, groups * values, element_kind::float64);
      tracked_vector const k = oracle_prepare(p, false, x);
      for (size_t row = 0; row < groups * phi.size(); ++row) {
        monomial const& m = phi[row % phi.size()];
        double f = m.coefficient;
        for (int i : m.coordinates) {
          f *= k[row / phi.size() * d + static_cast<size_t>(i)].value;
        }
        size_t const at = n * groups * phi.size() + row;
        p.initial_k_sum[at] += f;
        for (size_t e = 0; e < values; ++e) {
          p.initial_kv[at * values + e] += f * v[row / phi.size() * values + e];
        }
      }
    }
  }
  for (double& number : p.initial_kv) {
    number = rounded_to(kind, number);
  }
  for (double& number : p.initial_k_sum) {
    number = rounded_to(kind, number);
  }
}

char const* name_of(memory_order order) {
  constexpr char const* names[] = {"bthd", "bhtd", "sliced", "reversed", "broadcast"};
  return names[static_cast<int>(order)];
}

char const* name_of(state_use use) {
  constexpr char const* names[] = {"none", "initial", "final", "both", "in_place", "pool"};
  return names[static_cast<int>(use)];
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, setup const& s) {
  stream << "batch " << s.batch << ", heads " << s.heads << "/" << s.kv_heads << (s.tiled ? " tiled" : "") << ", time "
         << s.time << ", value_dim " << s.value_dim << (s.causal ? ", causal" : ", not causal") << ", " << name_of(s.order)
         << (s.broadcast_kv ? " with k, v broadcast" : "") << ", state " << name_of(s.state)
         << (s.layout == linattn::state_layout::value_major ? " value_major" : "")
         << (s.save_denominator ? ", denominator" : "") << ", threads " << s.threads << ", eps " << s.eps;
  for (std::int64_t length : s.lengths) {
    stream << (&length == s.lengths.data() ? ", packed " : "+") << length;
  }
  return stream << (s.wide_offsets ? " (int64)" : "");
}

problem make_problem(recipe const& map, int head_dim, bool normalized, setup const& s, element_kind kind,
                     bool for_backward) {
  element_kind const wide = kind == element_kind::float64 ? kind : element_kind::float32;
  random_source source(s.seed);
  problem p;
  p.map = map;
  p.head_dim = head_dim;
  p.batch = s.lengths.empty() ? s.batch : 1;
  p.heads = s.heads;
  p.kv_heads = s.kv_heads;
  p.time = s.lengths.empty() ? s.time : std::accumulate(s.lengths.begin(), s.lengths.end(), std::int64_t{0});
  p.value_dim = s.value_dim;
  p.causal = s.causal;
  p.tiled = s.tiled;
  p.normalized = normalized;
  p.eps = s.eps;
  if (!s.lengths.empty()) {
    p.offsets.push_back(0);
    for (std::int64_t length : s.lengths) {
      p.offsets.push_back(p.offsets.back() + length);
    }
  }
  parameter_plan& plan = p.map.parameters;
  plan.shared = plan.shared && (plan.rank == 1 || p.heads == p.kv_heads);  // two head counts cannot share rows of heads

  auto const q_rows = static_cast<size_t>(p.batch * p.heads * p.time);
  auto const kv_rows = static_cast<size_t>(p.batch * p.kv_heads * p.time);
  auto const d = static_cast<size_t>(head_dim);
  auto const values = static_cast<size_t>(p.value_dim);
  p.q = normal_numbers(source, q_rows * d, kind);
  p.k = normal_numbers(source, kv_rows * d, kind);
  p.v = normal_numbers(source, kv_rows * values, kind);
  if (s.broadcast_kv) {
    repeat_first_head(p.k, p.kv_heads, p.time * head_dim);
    repeat_first_head(p.v, p.kv_heads, p.time * p.value_dim);
  }
  p.gamma_q = parameter(source, plan.gamma, plan.rank, p.heads, head_dim, wide, 1);
  p.beta_q = parameter(source, plan.beta, plan.rank, p.heads, head_dim, wide, 0);
  p.gamma_k = parameter(source, plan.gamma, plan.rank, p.kv_heads, head_dim, wide, 1);
  p.beta_k = parameter(source, plan.beta, plan.rank, p.kv_heads, head_dim, wide, 0);
  for (size_t i = 0; plan.shared && i < p.gamma_k.size(); ++i) {
    p.gamma_k[i] = p.gamma_q[i];
  }
  for (size_t i = 0; plan.shared && i < p.beta_k.size(); ++i) {
    p.beta_k[i] = p.beta_q[i];
  }
  if (s.reads_state()) {
    make_initial_state(p, source, wide);
  }
  if (for_backward) {
    p.grad_out = normal_numbers(source, q_rows * values, kind);
    if (s.writes_state()) {
      size_t const rows = static_cast<size_t>(p.sequences() * p.kv_heads) * feature_count(map, head_dim);
      p.grad_final_kv = normal_numbers(source, rows * values, wide, 0, 0.1);
      p.grad_final_k_sum = normal_numbers(source, rows, wide, 0, 0.1);
    }
  }
  return p;
}

}  // namespace linattn_test

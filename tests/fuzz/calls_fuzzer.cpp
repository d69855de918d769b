// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Calls of the verbs with any shapes, strides, offsets and slots, in memory that AddressSanitizer watches: what validate
// accepts runs, what it refuses throws shape_error and writes nothing.
#include "fuzz/bytes.hpp"

#include <linattn/linattn.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace linattn_test {
namespace {

constexpr std::int64_t room = 4096;  // numbers in each tensor's memory

struct shape {
  std::int64_t batch, heads, kv_heads, time, values, sequences;
};

/// Makes views from the input. Each has memory of its own; most are the tensors that they should be.
class maker {
 public:
  explicit maker(bytes& input) : input_(input) {}

  template <class T, std::size_t Rank>
  linattn::tensor_view<T, Rank> view(std::int64_t const (&extents)[Rank]) {
    using number = std::remove_const_t<T>;
    std::int64_t shape[Rank];
    std::int64_t strides[Rank];
    std::int64_t step = 1;
    int const style = input_.below(16);
    for (std::size_t i = Rank; i-- > 0;) {
      shape[i] = extents[i];
      strides[i] = step;
      step *= extents[i] > 0 && extents[i] < 64 ? extents[i] + (style == 1 ? 1 : 0) : 1;
    }
    if (style == 2 && Rank >= 3) {  // two dimensions change places in memory
      std::swap(strides[0], strides[1]);
      strides[1] = strides[1] == 0 ? 1 : strides[1];
    }
    if (style == 3) {
      shape[input_.below(int{Rank})] = input_.byte() % 7 - 1;
    }
    if (style == 4) {
      strides[input_.below(int{Rank})] = input_.byte() % 32 - 8;
    }
    if (style == 5) {
      strides[input_.below(int{Rank})] = input_.wide();
    }
    if (style == 6) {
      shape[input_.below(int{Rank})] = input_.wide();
    }
    memory_.emplace_back(new float[room]{});
    float* const begin = memory_.back().get();
    static_assert(sizeof(number) <= sizeof(float));
    number* data = reinterpret_cast<number*>(begin);
    fits_ = fits_ && place(shape, strides, data, std::int64_t{room * sizeof(float) / sizeof(number)});
    if (style == 7) {
      data = nullptr;
    }
    return {data, shape, strides};
  }

  [[nodiscard]] bool fits() const { return fits_; }
  [[nodiscard]] std::vector<float> snapshot() const {
    std::vector<float> all;
    for (auto const& block : memory_) {
      all.insert(all.end(), block.get(), block.get() + room);
    }
    return all;
  }

 private:
  /// Moves data so that negative strides stay inside; false if the view reaches further than its memory.
  template <std::size_t Rank, class T>
  static bool place(std::int64_t const (&shape)[Rank], std::int64_t const (&strides)[Rank], T*& data,
                    std::int64_t size) {
    std::int64_t below = 0;
    std::int64_t above = 0;
    for (std::size_t i = 0; i < Rank; ++i) {
      if (shape[i] <= 0) {
        continue;
      }
      if (shape[i] > room || strides[i] > room || strides[i] < -room) {
        if (shape[i] == 1) {
          continue;
        }
        return false;
      }
      (strides[i] < 0 ? below : above) += (shape[i] - 1) * strides[i];
    }
    data += below < -size ? 0 : -below;
    return above - below < size;
  }

  bytes& input_;
  std::vector<std::unique_ptr<float[]>> memory_;
  bool fits_ = true;
};

template <class Attention>
class fuzzed_call {
 public:
  using element = typename Attention::element_type;
  using map_type = typename Attention::map_type;

  explicit fuzzed_call(bytes& input) : input_(input), make_(input) {
    s_ = {input.below(4), input.below(5), input.below(4), input.below(23), input.below(20), 0};
    if (s_.kv_heads > 0 && input.flag()) {
      s_.heads = s_.kv_heads * (1 + input.below(3));
    }
    s_.sequences = s_.batch;
    if (input.below(3) == 0) {
      make_offsets();
    }
    attn_.normalizer.eps = input.below(30) == 0 ? -1.0 : 1e-3;
    exec_.threads = 1;
  }

  void run() {
    switch (input_.below(3)) {
      case 0: return forward();
      case 1: return backward();
      default: return step();
    }
  }

 private:
  void make_offsets() {
    s_.batch = input_.below(12) == 0 ? s_.batch : 1;
    offsets_.push_back(0);
    for (int n = input_.below(5); n > 0; --n) {
      offsets_.push_back(offsets_.back() + input_.below(9));
    }
    s_.time = offsets_.back();
    if (input_.below(6) == 0) {
      offsets_[static_cast<std::size_t>(input_.byte()) % offsets_.size()] = input_.byte() - 4;
    }
    s_.sequences = static_cast<std::int64_t>(offsets_.size()) - 1;
  }

  void set_offsets(linattn::sequence_offsets& to) {
    if (!offsets_.empty()) {
      to = std::span<std::int32_t const>(offsets_);
    }
  }

  template <class Real>
  linattn::state_view<map_type, Real> state() {
    bool const pool = input_.below(3) == 0;
    std::int64_t const slots = pool ? s_.sequences + input_.below(3) : s_.sequences;
    std::int64_t const features = map_type::feature_dim;
    linattn::state_view<map_type, Real> v{make_.view<Real, 4>({slots, s_.kv_heads, features, s_.values}),
                                          make_.view<Real, 3>({slots, s_.kv_heads, features})};
    if (pool) {
      slot_lists_.emplace_back();
      for (std::int64_t n = 0; n < s_.sequences; ++n) {
        bool const odd = input_.below(12) == 0;
        slot_lists_.back().push_back(odd ? input_.byte() - 4 : static_cast<std::int32_t>(n));
      }
      v.slots = slot_lists_.back();
    }
    return v;
  }

  template <class Args>
  void fill_inputs(Args& a, std::int64_t time) {
    constexpr std::int64_t d = map_type::head_dim;
    a.q = make_.view<element const, 4>({s_.batch, s_.heads, time, d});
    a.k = make_.view<element const, 4>({s_.batch, s_.kv_heads, time, d});
    a.v = make_.view<element const, 4>({s_.batch, s_.kv_heads, time, s_.values});
    a.heads = input_.flag() ? linattn::head_map::tiled : linattn::head_map::grouped;
  }

  /// `accepted`: what validate says; offsets and slots, which it does not read, may still be refused.
  template <class Verb>
  void call(bool accepted, Verb&& verb) {
    if (accepted && !make_.fits()) {
      return;  // right, as far as the library can know, but the memory is not there
    }
    std::vector<float> const before = make_.snapshot();
    bool threw = false;
    try {
      verb();
    } catch (linattn::shape_error const& error) {
      threw = true;
      require(std::strncmp(error.what(), "linattn::", 9) == 0, "messages follow the grammar");
      std::vector<float> const after = make_.snapshot();
      require(std::memcmp(before.data(), after.data(), before.size() * sizeof(float)) == 0, "a refused call writes nothing");
    }
    require(accepted || threw, "what validate refuses throws");
  }

  void forward() {
    typename Attention::forward_args a{};
    fill_inputs(a, s_.time);
    a.out = make_.view<element, 4>({s_.batch, s_.heads, s_.time, s_.values});
    if (input_.flag()) {
      a.denominator = make_.view<float, 3>({s_.batch, s_.heads, s_.time});
    }
    if (input_.flag()) {
      a.initial_state = state<float const>();
    }
    if (input_.flag()) {
      a.final_state = state<float>();
    }
    a.causal = input_.flag();
    set_offsets(a.cu_seqlens);
    call(linattn::validate(attn_, a).ok(), [&] { linattn::forward(exec_, attn_, a); });
  }

  void backward() {
    typename Attention::backward_args a{};
    fill_inputs(a, s_.time);
    constexpr std::int64_t d = map_type::head_dim;
    if (input_.flag()) {
      a.out = make_.view<element const, 4>({s_.batch, s_.heads, s_.time, s_.values});
      a.denominator = make_.view<float const, 3>({s_.batch, s_.heads, s_.time});
    }
    a.grad_out = make_.view<element const, 4>({s_.batch, s_.heads, s_.time, s_.values});
    a.grad_q = make_.view<element, 4>({s_.batch, s_.heads, s_.time, d});
    a.grad_k = make_.view<element, 4>({s_.batch, s_.kv_heads, s_.time, d});
    a.grad_v = make_.view<element, 4>({s_.batch, s_.kv_heads, s_.time, s_.values});
    if constexpr (requires { a.grad_map.gamma_q; }) {
      a.grad_map.gamma_q = make_.view<float, 1>({d});
      a.grad_map.beta_k = make_.view<float, 2>({s_.kv_heads, d});
    }
    if (input_.flag()) {
      a.initial_state = state<float const>();
    }
    if (input_.flag()) {
      a.grad_final_state = state<float const>();
    }
    if (input_.flag()) {
      a.grad_initial_state = state<float>();
    }
    a.causal = input_.flag();
    set_offsets(a.cu_seqlens);
    call(linattn::validate(attn_, a).ok(), [&] { linattn::backward(exec_, attn_, a); });
  }

  void step() {
    typename Attention::step_args a{};
    s_.sequences = s_.batch;
    fill_inputs(a, input_.below(9) == 0 ? s_.time : 1);
    a.out = make_.view<element, 4>({s_.batch, s_.heads, 1, s_.values});
    auto const s = state<float>();
    call(linattn::validate(attn_, s, a).ok(), [&] { linattn::step(exec_, attn_, s, a); });
  }

  bytes& input_;
  maker make_;
  shape s_{};
  std::vector<std::int32_t> offsets_;
  std::vector<std::vector<std::int32_t>> slot_lists_;
  Attention attn_{};
  linattn::cpu_executor exec_{};
};

}  // namespace
}  // namespace linattn_test

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace linattn;
  linattn_test::bytes input(data, size);
  switch (input.below(3)) {
    case 0: linattn_test::fuzzed_call<attention<taylor<3>, chunkwise<4>>>(input).run(); break;
    case 1: linattn_test::fuzzed_call<attention<taylor<3>, recurrent, sum_normalizer, bf16>>(input).run(); break;
    default:
      linattn_test::fuzzed_call<attention<rebased<2, normalize::layer_norm_all_heads>, automatic>>(input).run();
      break;
  }
  return 0;
}

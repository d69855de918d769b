// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the CUDA engines have in common: step(), which does not depend on the strategy, backward(), and forward() with
// matrix units, in the form that Derived::form says.
#ifndef LINATTN_CUDA_ENGINE_BASE_HPP
#define LINATTN_CUDA_ENGINE_BASE_HPP

#include <linattn/cuda/backward_call.hpp>
#include <linattn/cuda/call.hpp>
#include <linattn/cuda/executor.hpp>
#include <linattn/cuda/fused_call.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Lays a call out twice: to count its memory, and to run on it.
template <class Exec, class Make, class Run>
void run_in_workspace(Exec const& exec, Make&& make, Run&& run) {
  device_memory const memory(exec, make(device_arena{}).bytes());
  run(make(memory.arena()));
}

/// What a caller must supply for a call that takes `bytes` bytes, wherever the memory begins.
constexpr std::size_t supplied_bytes(std::size_t bytes) noexcept { return bytes == 0 ? 0 : bytes + device_alignment; }

inline constexpr char const* asking_for_architecture = "asking which architecture the kernels are for";

/// Nothing is asked for: no row and no state.
template <class Args>
bool is_empty(Args const& args) noexcept {
  return args.out.size() == 0 && args.denominator.size() == 0 && !args.final_state.present();
}

template <class Selector>
struct cuda_step {
  using executor = cuda_executor<Selector>;

  template <class Attention>
  static void step(executor const& exec, Attention const& attn, typename Attention::state_type const& state,
                   typename Attention::step_args const& args) {
    run_in_workspace(
        exec, [&](device_arena arena) { return recurrent_call<Attention>(arena, attn, state, args); },
        [&](auto const& call) { call.run(exec.stream, "step"); });
  }
  template <class Attention>
  static std::size_t workspace_bytes(executor const&, Attention const& attn,
                                     typename Attention::step_args const& args) noexcept {
    return supplied_bytes(recurrent_call<Attention>(device_arena{}, attn, {}, args).bytes());
  }
};

/// backward() in pieces as long as those of Derived::form.
template <class Selector, class Derived>
struct cuda_backward : cuda_step<Selector> {
  using executor = cuda_executor<Selector>;
  using cuda_step<Selector>::workspace_bytes;

  template <class Attention>
  static void backward(executor const& exec, Attention const& attn, typename Attention::backward_args const& args) {
    bool const rows = args.grad_q.size() != 0 || args.grad_k.size() != 0 || args.grad_v.size() != 0;
    if (rows || args.grad_initial_state.present()) {
      int arch = 0;
      raise_unless_ok(architecture<Attention>(arch), "backward", asking_for_architecture);
      run_in_workspace(
          exec, [&](device_arena arena) { return call(arena, attn, args, arch); },
          [&](auto const& laid_out) { laid_out.run(exec.stream); });
    }
  }
  template <class Attention>
  static std::size_t workspace_bytes(executor const&, Attention const& attn,
                                     typename Attention::backward_args const& args) noexcept {
    int arch = 0;
    static_cast<void>(architecture<Attention>(arch).ok());  // as for forward()
    return supplied_bytes(call(device_arena{}, attn, args, arch).bytes());
  }

 private:
  template <class Attention>
  static simt::status architecture(int& arch) noexcept {
    return simt::architecture<typename backward_call<Selector, Attention>::template row_grads<false>>(arch);
  }
  template <class Attention>
  static backward_call<Selector, Attention> call(device_arena arena, Attention const& attn,
                                                 typename Attention::backward_args const& args, int arch) {
    return {arena, attn, args, arch, Derived::template form<Attention>(forward_args_of<Attention>(args), arch)};
  }
};

template <class Selector, class Derived>
struct cuda_engine : cuda_backward<Selector, Derived> {
  using executor = cuda_executor<Selector>;
  using cuda_backward<Selector, Derived>::workspace_bytes;

  template <class Attention>
  static void forward(executor const& exec, Attention const& attn, typename Attention::forward_args const& args) {
    if (!is_empty(args)) {
      int arch = 0;
      raise_unless_ok(architecture<Attention>(arch), "forward", asking_for_architecture);
      choose(attn, args, arch,
             [&](auto make) { run_in_workspace(exec, make, [&](auto const& call) { call.run(exec.stream); }); });
    }
  }
  template <class Attention>
  static std::size_t workspace_bytes(executor const&, Attention const& attn,
                                     typename Attention::forward_args const& args) noexcept {
    int arch = 0;
    static_cast<void>(architecture<Attention>(arch).ok());  // stays 0 without a device: see tuning/cuda.hpp
    std::size_t bytes = 0;
    choose(attn, args, arch, [&](auto make) { bytes = make(device_arena{}).bytes(); });
    return supplied_bytes(bytes);
  }

 private:
  template <class Attention>
  static constexpr bool fuses() {
    return Derived::may_fuse && FusedMap<typename Attention::map_type>;
  }

  /// Of a kernel that the call may launch: all that this translation unit launches is compiled for the same ones.
  template <class Attention>
  static simt::status architecture(int& arch) noexcept {
    if constexpr (fuses<Attention>()) {
      return simt::architecture<typename fused_call<Selector, Attention>::outputs>(arch);
    } else {
      return simt::architecture<typename forward_call<Selector, Attention>::outputs_pass>(arch);
    }
  }

  /// use(make): make(arena) is the call in the form that Derived::form chooses.
  template <class Attention, class Use>
  static void choose(Attention const& attn, typename Attention::forward_args const& args, int arch, Use&& use) {
    forward_form const form = Derived::template form<Attention>(args, arch);
    if constexpr (fuses<Attention>()) {
      if (form.fused) {
        use([&](device_arena arena) { return fused_call<Selector, Attention>(arena, attn, args, arch); });
        return;
      }
    }
    use([&](device_arena arena) {
      return forward_call<Selector, Attention>(arena, attn, args, arch, form.piece_tokens);
    });
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif

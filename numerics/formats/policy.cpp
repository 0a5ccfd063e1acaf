// The named conversion policies, one row each.
// Sources: NVIDIA cuda_fp8.h, PyTorch c10/util/Float8_e4m3fn.h, jax-ml/ml_dtypes, ONNX Cast, OCP
// MX.
#include <string>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::numerics {
namespace {

constexpr NamedPolicy kPolicies[] = {
    {"nvidia_satfinite",
     {Rounding::nearest_even, Overflow::saturate, NanSign::drop, NanPayload::all_ones},
     "cvt.rn.satfinite and cuda_fp8.h __NV_SATFINITE: Inf saturates, NaN loses its sign"},
    {"nvidia_nosat",
     {Rounding::nearest_even, Overflow::infinity, NanSign::drop, NanPayload::all_ones},
     "cuda_fp8.h __NV_NOSAT: overflow is signed Inf (E5M2) or signed NaN (E4M3)"},
    {"torch",
     {Rounding::nearest_even, Overflow::infinity, NanSign::keep, NanPayload::all_ones,
      PowerTies::up},
     "PyTorch up to 2.11: overflow is Inf or NaN, NaN keeps its sign"},
    {"torch_2_12",
     {Rounding::nearest_even, Overflow::saturate, NanSign::keep, NanPayload::all_ones,
      PowerTies::up},
     "PyTorch from 2.12, E4M3 alone: overflow saturates, Inf too (E5M2 stays with torch)"},
    {"ml_dtypes",
     {Rounding::nearest_even, Overflow::infinity, NanSign::keep, NanPayload::quiet,
      PowerTies::up},
     "ml_dtypes (JAX, NumPy): overflow is Inf or NaN, a quiet NaN keeps its sign"},
    {"onnx_saturate",
     {Rounding::nearest_even, Overflow::saturate, NanSign::keep, NanPayload::all_ones},
     "ONNX Cast with saturate = 1: Inf saturates"},
    {"ocp_mx",
     {Rounding::nearest_even, Overflow::saturate, NanSign::keep, NanPayload::all_ones},
     "OCP Microscaling element conversion: nearest even, saturating"},
};

}  // namespace

std::span<const NamedPolicy> policies() { return kPolicies; }

const Policy& policy(std::string_view name) {
  for (const NamedPolicy& p : kPolicies) {
    if (p.name == name) return p.policy;
  }
  throw Error(ErrorKind::usage, "policy '" + std::string(name) + "'", "no such policy",
              "did you mean '" +
                  nearest_name(name, kPolicies, [](const NamedPolicy& p) { return p.name; }) +
                  "'?");
}

}  // namespace karat::numerics

// The rows of golden/request.hpp.
#include "karat/golden/request.hpp"

#include <nlohmann/json.hpp>

#include "karat/bounds/liberties.hpp"
#include "karat/recipe/evidence.hpp"

namespace karat::golden {
namespace {

namespace request = files::request;
using cases::TensorLayout;
using files::FieldKind;
using files::FieldValue;
using files::RequestField;
using numerics::Named;

constexpr Named<TensorLayout> kLayouts[] = {{"BHSD", TensorLayout::bhsd},
                                            {"BSHD", TensorLayout::bshd}};
constexpr Named<TensorLayout> kVLayouts[] = {
    {"BHSD", TensorLayout::bhsd}, {"BSHD", TensorLayout::bshd}, {"BHDS", TensorLayout::bhds}};
constexpr Named<RowOrder> kOrders[] = {{"original", RowOrder::original},
                                       {"tiled", RowOrder::tiled}};
constexpr Named<Alarm> kAlarms[] = {{"outside", Alarm::outside}, {"any-bit", Alarm::any_bit}};

template <typename Options>
constexpr RequestField<Options> kCandidateFields[] = {
    request::choice<&Options::layout, kLayouts>("layout", "of the candidate: BHSD or BSHD", "BHSD"),
    request::choice<&Options::order, kOrders>("order", "of the candidate's rows: original or tiled",
                                              "original"),
    request::whole<&Options::threads>("threads", "0: all the machine has", 0, 1024)};

template <auto kPlace, typename Options>
constexpr RequestField<Options> place(std::string_view name, std::string_view meaning) {
  using Value =
      typename std::remove_cvref_t<decltype(std::declval<Selection&>().*kPlace)>::value_type;
  return {.name = name,
          .meaning = meaning,
          .kind = FieldKind::whole,
          .write = [](Options& options, const FieldValue& value, const std::string&) {
            options.select.*kPlace = static_cast<Value>(std::get<std::int64_t>(value));
          }};
}
template <typename Options>
constexpr RequestField<Options> kSelectionFields[] = {
    place<&Selection::batch, Options>("batch", "this one alone"),
    place<&Selection::head, Options>("head", "this one alone"),
    place<&Selection::block, Options>("block", "this query block alone")};

constexpr RequestField<CheckOptions> kCheckFields[] = {
    {.name = "allow",
     .meaning = "more than exp2 is free: order (of the row sum and of f32.fma's P V), contraction "
                "(fused multiply-adds), reciprocal (1/l within 1 ulp); separated by commas",
     .kind = FieldKind::texts,
     .write =
         [](CheckOptions& options, const FieldValue& value, const std::string& subject) {
           for (const std::string& name : std::get<std::vector<std::string>>(value))
             bounds::allow(options.allowed, name, subject);
         }},
    request::choice<&CheckOptions::v_layout, kVLayouts>(
        "v_layout", "of v and v_codes, where it differs: BHSD, BSHD or BHDS (transposed)"),
    request::number<&CheckOptions::error_ratio>(
        "error_ratio",
        "how many times as far from the FP64 truth as the golden o a matching o may be", 1, 1000,
        "1.25"),
    {.name = "strict",
     .meaning = "every stage must be equal: for recipes whose exp2 is mufu, what is only legal "
                "differs",
     .kind = FieldKind::flag,
     .write = [](CheckOptions& options, const FieldValue& value, const std::string&) {
       options.demand = std::get<bool>(value) ? Demand::golden : Demand::legal;
     }}};

constexpr RequestField<DiagnoseOptions> kDiagnoseFields[] = {
    request::choice<&DiagnoseOptions::alarm, kAlarms>(
        "alarm", "what counts as a difference: outside (what no correct kernel writes) or any-bit",
        "outside"),
    request::whole<&DiagnoseOptions::query_blocks>("blocks", "query blocks to sample (4)", 1, 64),
    request::whole<&DiagnoseOptions::reported>("most", "hypotheses to report", 1, 1000)};

}  // namespace

template <typename Options>
std::span<const RequestField<Options>> candidate_fields() {
  return kCandidateFields<Options>;
}
template <typename Options>
std::span<const RequestField<Options>> selection_fields() {
  return kSelectionFields<Options>;
}
template std::span<const RequestField<CheckOptions>> candidate_fields();
template std::span<const RequestField<DiagnoseOptions>> candidate_fields();
template std::span<const RequestField<CheckOptions>> selection_fields();
template std::span<const RequestField<DiagnoseOptions>> selection_fields();

std::span<const RequestField<CheckOptions>> check_fields() { return kCheckFields; }
std::span<const RequestField<DiagnoseOptions>> diagnose_fields() { return kDiagnoseFields; }

files::Json to_json(const MakeSummary& summary, const std::string& file,
                    const recipe::Recipe& recipe) {
  files::Json json{{"file", file},
                   {"sha256", summary.seal.sha256},
                   {"bytes", summary.seal.bytes},
                   {"heads", summary.heads},
                   {"multiply_adds", summary.multiply_adds},
                   {"attention_seconds", summary.attention_seconds},
                   {"truth_multiply_adds", summary.truth_multiply_adds},
                   {"truth_seconds", summary.truth_seconds},
                   {"saturated_p_codes", summary.saturated_p_codes},
                   {"evidence", evidence_json(recipe)}};
  if (summary.backward_multiply_adds > 0)
    json["backward"] = {{"multiply_adds", summary.backward_multiply_adds},
                        {"seconds", summary.backward_seconds},
                        {"saturated_ds_codes", summary.saturated_ds_codes},
                        {"not_finite", to_json(summary.not_finite)}};
  return json;
}

}  // namespace karat::golden

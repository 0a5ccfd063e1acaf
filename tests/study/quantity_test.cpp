// Every quantity has one name, and a name one quantity.
#include "karat/study/quantity.hpp"

#include <gtest/gtest.h>

#include <set>

#include "karat/numerics/base/error.hpp"

namespace karat::study {
namespace {

TEST(Quantity, NamesAreThoseOfTheFiles) {
  EXPECT_EQ(to_string(Measure::both), "both");
  EXPECT_EQ(to_string(Measure::guided_independent), "guided_independent");
  EXPECT_EQ(to_string(Quantity(Measure::rung, Part::output)), "rung.output");
  EXPECT_EQ(to_string(Quantity(Measure::theory, Part::qk)), "theory.qk");
  EXPECT_EQ(to_string(Quantity::lost(5)), "theory.lost.448.descending");
  EXPECT_EQ(to_string(Suspect::p_times_1), "suspect.p_times_1");
  EXPECT_EQ(to_string(Quantity::of_gradient(Output::dq, Metric::relative_l2, Measure::both)),
            "dq.both");
  EXPECT_EQ(to_string(Quantity::of_gradient(Output::dv, Metric::cosine, Measure::alone_dense,
                                            GradientPart::d_o)),
            "dv.cosine.alone_dense.do");
}

TEST(Quantity, NamesAreReadBack) {
  std::set<std::string> names;
  const auto check = [&](Quantity quantity) {
    const std::string name = to_string(quantity);
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(parse_quantity(name, "t"), quantity) << name;
  };
  for (auto m = Measure::both; m <= Measure::guided_independent;
       m = static_cast<Measure>(static_cast<int>(m) + 1))
    check(m);
  for (const Measure m : {Measure::rung, Measure::given, Measure::alone, Measure::theory})
    for (const PartRow& row : parts()) check({m, row.part});
  for (std::size_t i = 0; i < std::size(kUnderflows); ++i) check(Quantity::lost(i));
  for (const SuspectRow& row : suspects()) check(row.suspect);
  for (const Output output : kGradients)
    for (const Metric metric : {Metric::relative_l2, Metric::cosine}) {
      for (const Measure m : {Measure::both, Measure::mask, Measure::fp8, Measure::fp8_given_mask})
        check(Quantity::of_gradient(output, metric, m));
      for (const Measure m : {Measure::rung, Measure::given, Measure::alone, Measure::alone_dense})
        for (const GradientPartRow& row : gradient_parts())
          check(Quantity::of_gradient(output, metric, m, row.part));
    }
  for (const char* bad :
       {"", "bot", "both.", "rung", "rung.", "rung.z", "theory.lost.2.ascending", "alone_dense.qk",
        "dq.guided", "dq.theory.q", "dq.rung.qk", "cosine.both", "o.both", "dq."})
    EXPECT_THROW(parse_quantity(bad, "t"), Error) << bad;
}

}  // namespace
}  // namespace karat::study

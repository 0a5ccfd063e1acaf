// Query head by query head, added up where they share k and v.
#include "gradient_truth.hpp"

#include "truth_rows.hpp"

namespace karat::golden {

std::vector<std::int32_t> gradient_rows(std::size_t tokens, std::uint64_t seed) {
  constexpr std::uint64_t kStream = 0x6772616400000000;
  return sampled_tokens(tokens, kGradientRows, kGradientRows, seed, kStream);
}

GradientTruth gradient_truth(const layout::Layout& layout,
                             const std::vector<cases::BackwardRun::Head>& heads,
                             const std::vector<std::int32_t>& rows, attention::OracleMask mask,
                             int threads) {
  GradientTruth sum;
  const auto add = [](std::vector<double>& to, const std::vector<double>& more) {
    if (to.empty()) to.assign(more.size(), 0.0);
    for (std::size_t e = 0; e < more.size(); ++e) to[e] += more[e];
  };
  for (const cases::BackwardRun::Head& head : heads) {
    attention::OracleGradients exact = attention::oracle_gradients(
        layout, head.values.view(), head.d_o, rows, rows, mask, threads);
    sum.dq.push_back(std::move(exact.dq));
    add(sum.dk, exact.dk);
    add(sum.dv, exact.dv);
  }
  return sum;
}

}  // namespace karat::golden

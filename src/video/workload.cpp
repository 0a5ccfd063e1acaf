// Implementation of video/workload.hpp: names, validation, and the loop over tokens.
#include "karat/video/workload.hpp"

#include <algorithm>
#include <cmath>

#include "adversarial.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/base/suggest.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "video_head.hpp"

namespace karat::video {
namespace {

constexpr KindRow<WorkloadKind> kWorkloadKinds[] = {
    {WorkloadKind::video, "video", "smooth moving scene, RoPE, outlier channels, denoising noise"},
    {WorkloadKind::gaussian, "gaussian", "N(0,1) everywhere"},
    {WorkloadKind::outliers, "outliers", "N(0,1) + N(0,100) * Bernoulli(0.001)"},
    {WorkloadKind::ties, "ties", "every value halfway between two E4M3 codes, scales 2^-7"},
    {WorkloadKind::saturating_p, "saturating_p",
     "the running maximum creeps up 8 log2 units: P saturates under lazy rescale"},
    {WorkloadKind::one_hot, "one_hot", "each query sees its own key and nothing else"},
    {WorkloadKind::zero_tiles, "zero_tiles", "odd tiles and one V channel are zero"},
    {WorkloadKind::subnormals, "subnormals", "subnormal inputs and subnormal codes"},
    {WorkloadKind::dynamic_range, "dynamic_range", "magnitudes 2^-36 to 2^3 inside every tile"},
    {WorkloadKind::tiny_tails, "tiny_tails", "a few peaks; all other P flush to zero in E4M3"},
    {WorkloadKind::equal_keys, "equal_keys", "all keys equal: uniform attention"},
    {WorkloadKind::sink, "sink", "the first token takes nearly all weight and has a tiny value"},
};

constexpr KindRow<HeadKind> kHeadKinds[] = {
    {HeadKind::local, "local", "a few tokens around in time and space"},
    {HeadKind::spatial, "spatial", "its own frame and its neighbours"},
    {HeadKind::temporal, "temporal", "the same place in all frames"},
    {HeadKind::global, "global", "tokens that look alike, wherever they are"},
    {HeadKind::sink, "sink", "the first tokens of the first frame, and around"},
};

template <typename Kind, std::size_t kCount>
Kind find_kind(const KindRow<Kind> (&rows)[kCount], std::string_view name, const char* subject) {
  for (const auto& row : rows)
    if (row.name == name) return row.kind;
  throw Error(ErrorKind::usage, subject, "unknown name '" + std::string(name) + "'",
              "did you mean " + numerics::nearest_name(name, rows, [](const auto& row) {
                return row.name;
              }) + "?");
}

constexpr std::int64_t kTokensPerItem = 256;  // one item of parallel work

void round_rows(std::span<float> rows) {
  std::vector<std::uint16_t> codes(rows.size());
  numerics::round_to_bf16(rows, codes);
  numerics::widen_bf16(codes, rows);
}

}  // namespace

std::span<const KindRow<WorkloadKind>> workload_kinds() { return kWorkloadKinds; }
std::span<const KindRow<HeadKind>> head_kinds() { return kHeadKinds; }

WorkloadKind find_workload_kind(std::string_view name) {
  return find_kind(kWorkloadKinds, name, "workload.kind");
}
HeadKind find_head_kind(std::string_view name) {
  return find_kind(kHeadKinds, name, "workload.head_kind");
}

void validate(const WorkloadSpec& spec) {
  Tiling(spec.grid, spec.tile);
  constexpr int kMost = 1 << 24;
  require(spec.text >= 0 && spec.text < kMost, "workload.text", "0 to 2^24 - 1");
  require(spec.batch > 0 && spec.batch < kMost, "workload.batch", "1 to 2^24 - 1");
  require(spec.heads > 0 && spec.heads < kMost, "workload.heads", "1 to 2^24 - 1");
  require(spec.head_dim > 0 && spec.head_dim <= 4096, "workload.head_dim", "1 to 4096");
  require(spec.head_dim >= 6 || spec.kind != WorkloadKind::video, "workload.head_dim",
          "6 or more: a video head needs a pair of channels per axis");
  require(spec.sigma >= 0 && spec.sigma <= 1, "workload.sigma", "0 (clean) to 1 (noise)");
  require(spec.objects >= 0 && spec.objects <= 1024, "workload.objects", "0 to 1024");
  require(std::fabs(spec.motion) <= 1000, "workload.motion", "at most 1000 tokens a frame");
  require(spec.outlier_channels >= 0 && spec.outlier_channels <= spec.head_dim,
          "workload.outlier_channels", "0 to head_dim");
  require(std::fabs(spec.outlier_gain) <= 1e6, "workload.outlier_gain", "at most 1e6");
}

Head generate_head(const WorkloadSpec& spec, int batch, int head, int threads) {
  validate(spec);
  require(batch >= 0 && batch < spec.batch, "workload.batch index", "0 to batch - 1");
  require(head >= 0 && head < spec.heads, "workload.head index", "0 to heads - 1");
  const std::int64_t video_tokens = spec.grid.volume();
  std::optional<VideoHead> video;
  if (spec.kind == WorkloadKind::video) video.emplace(spec, batch, head);
  return make_rows(video_tokens + spec.text, spec.head_dim, threads,
                   [&](std::int64_t t, std::span<float> q, std::span<float> k, std::span<float> v) {
                     const bool text = t >= video_tokens;
                     if (video && text)
                       video->text_rows(t, q, k, v);
                     else if (video)
                       video->rows(t, q, k, v);
                     else if (text)
                       text_rows(spec, batch, head, t, q, k, v);
                     else
                       adversarial_rows(spec, batch, head, t, q, k, v);
                   });
}

Head make_rows(std::int64_t tokens, int head_dim, int threads,
               const std::function<void(std::int64_t, std::span<float>, std::span<float>,
                                        std::span<float>)>& fill) {
  const auto d = static_cast<std::size_t>(head_dim), size = static_cast<std::size_t>(tokens) * d;
  Head out{std::vector<float>(size), std::vector<float>(size), std::vector<float>(size)};
  const auto items = static_cast<std::size_t>((tokens + kTokensPerItem - 1) / kTokensPerItem);
  numerics::parallel_for(items, threads, [&](std::size_t item, int) {
    const std::int64_t begin = static_cast<std::int64_t>(item) * kTokensPerItem;
    const std::int64_t end = std::min(begin + kTokensPerItem, tokens);
    const auto rows = [d](std::vector<float>& all, std::int64_t first, std::int64_t count) {
      return std::span(all).subspan(first * d, count * d);
    };
    for (std::int64_t t = begin; t < end; ++t)
      fill(t, rows(out.q, t, 1), rows(out.k, t, 1), rows(out.v, t, 1));
    for (auto* all : {&out.q, &out.k, &out.v}) round_rows(rows(*all, begin, end - begin));
  });
  return out;
}

void require(bool good, const std::string& field, const std::string& range) {
  if (!good) throw Error(ErrorKind::usage, field, "out of range", "use " + range);
}

}  // namespace karat::video

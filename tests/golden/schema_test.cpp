// The table of golden datasets: what karat writes passes, and every single change is noticed.
#include "file/schema.hpp"

#include <gtest/gtest.h>

#include "check_case.hpp"

namespace karat::golden {
namespace {

class Schema : public CheckCase {
 protected:
  static std::vector<files::TensorInfo> datasets() { return golden().source().list(); }

  static TappedBlocks require(const std::vector<files::TensorInfo>& list) {
    return require_schema(list,
                          {.recipe = golden().recipe(),
                           .tokens = golden().shape().rows,
                           .layout = &golden().layout()},
                          "g.h5")
        .forward;
  }
  static std::string refusal(const std::vector<files::TensorInfo>& list) {
    try {
      require(list);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input_output);
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(Schema, AcceptsWhatKaratWritesAndKnowsItsTaps) {
  const TappedBlocks tapped = require(datasets());
  ASSERT_EQ(tapped.size(), kBatch * kHeads);
  const std::size_t blocks = golden().layout().blocks.query_blocks.size();
  for (const auto& [head, list] : tapped) {
    ASSERT_EQ(list.size(), blocks);
    for (std::size_t i = 0; i < blocks; ++i) EXPECT_EQ(list[i], static_cast<int>(i));
  }
}

TEST_F(Schema, NoticesEveryDatasetThatIsGone) {
  for (std::size_t i = 0; i < datasets().size(); ++i) {
    auto list = datasets();
    const std::string name = list[i].name;
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
    const std::string told = refusal(list);
    EXPECT_TRUE(told.find("is missing") != told.npos || told.find("neighbours") != told.npos)
        << name << ": " << told;
  }
}

TEST_F(Schema, NoticesEveryOtherType) {
  for (std::size_t i = 0; i < datasets().size(); ++i)
    for (const files::DType type : {files::DType::i64, files::DType::i32, files::DType::f64,
                                    files::DType::u16, files::DType::boolean}) {
      auto list = datasets();
      if (list[i].dtype == type) continue;
      list[i].dtype = type;
      EXPECT_NE(refusal(list).find("g.h5: "), std::string::npos) << list[i].name;
    }
}

TEST_F(Schema, NoticesEveryOtherShape) {
  for (std::size_t i = 0; i < datasets().size(); ++i) {
    const files::Shape good = datasets()[i].shape;
    std::vector<files::Shape> shapes{{}, {0}};
    for (std::size_t d = 0; d < good.size(); ++d) {
      for (const std::size_t size : {std::size_t{0}, good[d] + 1, good[d] * 7 + 5}) {
        shapes.push_back(good);
        shapes.back()[d] = size;
      }
      shapes.push_back(good);
      shapes.back().erase(shapes.back().begin() + static_cast<std::ptrdiff_t>(d));
      shapes.push_back(good);
      shapes.back().insert(shapes.back().begin() + static_cast<std::ptrdiff_t>(d), 1);
    }
    for (const files::Shape& shape : shapes) {
      auto list = datasets();
      list[i].shape = shape;
      const bool free = list[i].name.ends_with("kv_indices") && shape.size() == 2 &&
                        shape[0] == good[0];  // as wide as the longest row, whatever that is
      if (free || shape == good) continue;
      EXPECT_NE(refusal(list), "accepted") << list[i].name << " " << files::to_string(shape);
    }
  }
}

TEST_F(Schema, NoticesWhatNobodyWrote) {
  for (const char* name :
       {"o", "inputs/lse", "stages/s", "stages/tap/s", "stages/tap/0/0/x/s", "stages/tap/0/0/00/s",
        "stages/tap/9/0/0/s", "stages/tap/0/0/99/s", "stages/tap/0/0/99999999999999999999/s",
        "mask/0/0/kv_indices", "other"}) {
    auto list = datasets();
    list.push_back({.name = name, .dtype = files::DType::f32, .shape = {1}});
    std::ranges::sort(list, {}, &files::TensorInfo::name);
    EXPECT_NE(refusal(list), "accepted") << name;
  }
  auto list = datasets();
  list.push_back({.name = "mask/given/note", .dtype = files::DType::f32, .shape = {1}});
  EXPECT_EQ(refusal(list), "accepted");  // GivenMask's to judge
}

TEST_F(Schema, NoticesWhatCannotBeRead) {
  for (std::size_t i = 0; i < datasets().size(); ++i) {
    auto list = datasets();
    list[i].problem = "misses values";
    EXPECT_NE(refusal(list).find("misses values"), std::string::npos) << list[i].name;
  }
}

}  // namespace
}  // namespace karat::golden

// Fat binaries as nvcc writes them, and bytes that are none.
#include "fatbin.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "karat/numerics/base/error.hpp"

namespace karat::cudart {
namespace {

std::vector<std::byte> bytes_of(const std::string& name) {
  std::ifstream in(KARAT_CUDART_TEST_DATA "/" + name, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

TEST(FatBinary, HoldsTheSamePtxHoweverItIsCompressed) {
  const FatBinary zstd = read_fat_binary(bytes_of("program.fatbin"));
  const FatBinary speed = read_fat_binary(bytes_of("program.speed.fatbin"));
  ASSERT_NE(image_for_hopper(zstd), nullptr);
  ASSERT_NE(image_for_hopper(speed), nullptr);
  EXPECT_EQ(image_for_hopper(zstd)->text, image_for_hopper(speed)->text);
  EXPECT_EQ(image_for_hopper(zstd)->architecture, 90);
  EXPECT_TRUE(image_for_hopper(zstd)->specific);
  EXPECT_NE(image_for_hopper(zstd)->text.find(".target sm_90a"), std::string::npos);
}

TEST(FatBinary, TakesTheImageAnH100RunsBest) {
  const auto best = [](std::vector<PtxImage> images) {
    const FatBinary binary{std::move(images)};
    const PtxImage* const image = image_for_hopper(binary);
    return image == nullptr ? std::string("none") : image->text;
  };
  EXPECT_EQ(best({{80, false, "80"}, {90, false, "90"}, {90, true, "90a"}}), "90a");
  EXPECT_EQ(best({{90, true, "90a"}, {100, true, "100a"}, {120, false, "120"}}), "90a");
  EXPECT_EQ(best({{80, false, "80"}, {89, false, "89"}}), "89");
  EXPECT_EQ(best({{100, false, "100"}}), "none");
  EXPECT_EQ(best({}), "none");
}

TEST(FatBinary, CutAndChangedBytesAreErrors) {
  const std::vector<std::byte> whole = bytes_of("program.fatbin");
  ASSERT_GT(whole.size(), 100u);
  for (std::size_t size = 0; size < whole.size(); size += size < 200 ? 1 : 97)
    EXPECT_THROW(read_fat_binary(std::span(whole).first(size)), Error) << size;
  // No change of the headers may crash; most are found.
  int refused = 0;
  for (std::size_t at = 0; at < 96; ++at)
    for (const int value : {0, 0x7F, 0xFF}) {
      std::vector<std::byte> changed = whole;
      changed[at] = static_cast<std::byte>(value);
      try {
        read_fat_binary(changed);
      } catch (const Error&) {
        ++refused;
      }
    }
  EXPECT_GT(refused, 60);
}

}  // namespace
}  // namespace karat::cudart

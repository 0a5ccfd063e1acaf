// The seal: every single damaged byte of seal or content is found, without HDF5.
#include "karat/files/seal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scratch.hpp"

namespace karat::files {
namespace {

using test::Bytes;
using test::input_error;
using test::Scratch;
using test::to_bytes;
using test::write_bytes;
using testing::HasSubstr;

TEST(Seal, IsReadableTextAndTheHashOfTheRest) {
  const Scratch scratch;
  write_bytes(scratch / "a", to_bytes(std::string(512, '\0') + "abc"));
  const Seal seal = write_seal(scratch / "a", "karat-test/1");
  EXPECT_EQ(seal, (Seal{"karat-test/1", 3,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}));
  EXPECT_EQ(verify_seal(scratch / "a"), seal);
  std::string expected =
      "karat sealed file\nschema: karat-test/1\nbytes: 3\nsha256: " + seal.sha256 + "\n";
  expected.resize(511, ' ');
  EXPECT_EQ(test::read_bytes(scratch / "a"), to_bytes(expected + "\nabc"));
}

TEST(Seal, OtherFilesHaveNone) {
  const Scratch scratch;
  write_bytes(scratch / "a", to_bytes("karat sealed"));
  EXPECT_EQ(verify_seal(scratch / "a"), std::nullopt);
  write_bytes(scratch / "a", {});
  EXPECT_EQ(verify_seal(scratch / "a"), std::nullopt);
  EXPECT_THAT(input_error([&] { verify_seal(scratch / "none"); }), HasSubstr("cannot be read"));
}

TEST(Seal, FindsEveryDamagedByteAndEveryLostOne) {
  const Scratch scratch;
  write_bytes(scratch / "a", to_bytes(std::string(512, '\0') + std::string(300, 'x')));
  const Seal seal = write_seal(scratch / "a", "karat-test/1");
  const Bytes file = test::read_bytes(scratch / "a");
  test::for_each_corruption(file, [&](const Bytes& changed) {
    write_bytes(scratch / "b", changed);
    const auto found = verify_seal(scratch / "b");
    // What passes is no sealed file any more, or sealed as another schema (which the reader holds
    // against the schema inside the content).
    if (found) {
      EXPECT_NE(found->schema, seal.schema);
      EXPECT_EQ(found->sha256, seal.sha256);
    }
  });
  Bytes longer = file;
  longer.push_back({});
  write_bytes(scratch / "b", longer);
  EXPECT_THAT(input_error([&] { verify_seal(scratch / "b"); }), HasSubstr("b: is too long: 301"));
  write_bytes(scratch / "b", std::span(file).first(file.size() - 1));
  EXPECT_THAT(input_error([&] { verify_seal(scratch / "b"); }), HasSubstr("b: is cut short: 299"));
  longer = file;
  longer[700] ^= std::byte{1};
  write_bytes(scratch / "b", longer);
  EXPECT_THAT(input_error([&] { verify_seal(scratch / "b"); }),
              HasSubstr("is damaged: its content does not match the SHA-256"));
}

TEST(Seal, RefusesASchemaThatIsNotOneWord) {
  const Scratch scratch;
  write_bytes(scratch / "a", Bytes(600));
  for (const char* schema : {"", "two words", "line\n"}) {
    EXPECT_THROW(write_seal(scratch / "a", schema), Error);
  }
}

}  // namespace
}  // namespace karat::files

// SHA-256 against the examples of FIPS 180-4 and Python's hashlib.
#include "karat/files/sha256.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scratch.hpp"

namespace karat::files {
namespace {

using test::to_bytes;

TEST(Sha256, TheStandardsExamples) {
  EXPECT_EQ(sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex(to_bytes("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(to_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 million;
  for (int i = 0; i < 1000; ++i) million.update(to_bytes(std::string(1000, 'a')));
  EXPECT_EQ(million.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OfAFileFromAnOffset) {
  const test::Scratch scratch;
  std::string text(3'000'001, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i % 251);
  test::write_bytes(scratch / "a", to_bytes(text));
  const std::string script =
      "import hashlib, sys; d = open(sys.argv[1], 'rb').read()\n"
      "for n in (0, 512, len(d)): print(hashlib.sha256(d[n:]).hexdigest())";
  EXPECT_EQ(test::python(script, {scratch / "a"}),
            sha256_file(scratch / "a") + "\n" + sha256_file(scratch / "a", 512) + "\n" +
                sha256_file(scratch / "a", text.size()) + "\n");
  EXPECT_THAT(test::input_error([&] { sha256_file(scratch / "a", text.size() + 1); }),
              testing::HasSubstr("ends early"));
}

}  // namespace
}  // namespace karat::files

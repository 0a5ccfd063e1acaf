// What names lead to, and the one line for those that lead nowhere.
#include "karat/files/paths.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/files/atomic_file.hpp"
#include "scratch.hpp"

namespace karat::files {
namespace {

namespace fs = std::filesystem;
using test::input_error;
using test::Scratch;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class Names : public testing::Test {
 protected:
  Names() {
    write_file(scratch / "file", "text");
    fs::create_directory(scratch / "folder");
    fs::create_symlink("file", scratch / "link");
    fs::create_symlink("nothing", scratch / "dangling");
    fs::create_symlink("loop_b", scratch / "loop_a");
    fs::create_symlink("loop_a", scratch / "loop_b");
  }
  Scratch scratch;
  const std::string long_name = std::string(300, 'n');
};

TEST_F(Names, LeadSomewhereOrNowhere) {
  EXPECT_EQ(standing(scratch / "file"), Standing::file);
  EXPECT_EQ(standing(scratch / "link"), Standing::file);
  EXPECT_EQ(standing(scratch / "folder"), Standing::folder);
  EXPECT_EQ(standing("/dev/null"), Standing::other);
  for (const char* name : {"nothing", "dangling", "file/x", "nothing/x"})
    EXPECT_EQ(standing(scratch / name), Standing::nothing) << name;
}

TEST_F(Names, ThatCannotLeadAnywhereSayWhy) {
  EXPECT_THAT(input_error([] { standing(""); }), StartsWith("\"\": is no name"));
  EXPECT_THAT(input_error([&] { standing(scratch / "loop_a"); }), HasSubstr("symbolic links"));
  const std::string told = input_error([&] { standing(scratch / long_name); });
  EXPECT_THAT(told, HasSubstr("too long"));
  EXPECT_LT(told.size(), 300u);
}

TEST_F(Names, AreRefusedWhereSomethingElseIsWanted) {
  EXPECT_NO_THROW(require_folder(scratch / "folder"));
  EXPECT_THAT(input_error([&] { require_folder(scratch / "file"); }), HasSubstr("is no folder"));
  EXPECT_THAT(input_error([&] { require_folder(scratch / "no"); }), HasSubstr("does not exist"));
  EXPECT_NO_THROW(require_readable(scratch / "link"));
  EXPECT_NO_THROW(require_readable("/dev/null"));
  EXPECT_THAT(input_error([&] { require_readable(scratch / "folder"); }), HasSubstr("is a folder"));
  EXPECT_THAT(input_error([&] { require_readable(scratch / "no"); }), HasSubstr("does not exist"));
}

TEST_F(Names, OfFoldersAreMadeOrRefused) {
  make_folder(scratch / "folder");
  make_folder(scratch / "a/b/c");
  EXPECT_TRUE(fs::is_directory(scratch / "a/b/c"));
  EXPECT_THAT(input_error([&] { make_folder(scratch / "file"); }), HasSubstr("is no folder"));
  for (const std::string& name : {std::string("file/x"), long_name, std::string("loop_a/x")})
    EXPECT_THAT(input_error([&] { make_folder(scratch / name); }), HasSubstr("cannot be")) << name;
}

TEST_F(Names, OfAFolderComeSorted) {
  write_file(scratch / "folder/b.txt", "");
  write_file(scratch / "folder/a.txt", "");
  write_file(scratch / "folder/a.json", "");
  fs::create_directory(scratch / "folder/c.txt");
  EXPECT_THAT(files_in(scratch / "folder", ".txt"),
              ElementsAre(scratch / "folder/a.txt", scratch / "folder/b.txt"));
}

TEST_F(Names, OfTextsGiveTheWholeText) {
  const std::string text = std::string(3'000'000, 'x') + "end";
  write_file(scratch / "long", text);
  EXPECT_EQ(read_text(scratch / "long"), text);
  EXPECT_EQ(read_text("/dev/null"), "");
  EXPECT_THAT(input_error([&] { read_text(scratch / "folder"); }), HasSubstr("is a folder"));
}

TEST_F(Names, ToWriteUnder) {
  for (const std::string& name : {std::string("loop_a"), std::string("loop_a/x"), long_name})
    EXPECT_THAT(input_error([&] { write_file(scratch / name, "x"); }), HasSubstr("cannot be"))
        << name;
  EXPECT_THAT(input_error([] { write_file("", "x"); }), HasSubstr("is no name"));
  write_file(scratch / "dangling", "x");
  EXPECT_EQ(read_text(scratch / "dangling"), "x");
}

}  // namespace
}  // namespace karat::files

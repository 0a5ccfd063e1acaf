// Atomic files: whole or absent, whatever stops the writer; one clear line for each reason.
#include "karat/files/atomic_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "scratch.hpp"

namespace karat::files {
namespace {

using test::input_error;
using test::read_bytes;
using test::Scratch;
using test::to_bytes;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  const Scratch scratch;
  {
    AtomicFile file(scratch / "a.bin");
    file.write("hello");
    EXPECT_THAT(scratch.names(), ElementsAre(MatchesRegex("\\.a\\.bin\\.[a-z0-9]{6}\\.part")));
    file.write(" world");
    file.commit();
  }
  EXPECT_THAT(scratch.names(), ElementsAre("a.bin"));
  EXPECT_EQ(read_bytes(scratch / "a.bin"), to_bytes("hello world"));
}

TEST(AtomicFile, AnExceptionLeavesTheOldContentAndNoRemains) {
  const Scratch scratch;
  write_file(scratch / "a", "old");
  try {
    AtomicFile file(scratch / "a");
    file.write("new");
    throw std::runtime_error("interrupted");
  } catch (const std::runtime_error&) {
  }
  EXPECT_THAT(scratch.names(), ElementsAre("a"));
  EXPECT_EQ(read_bytes(scratch / "a"), to_bytes("old"));
  write_file(scratch / "a", "new");
  EXPECT_EQ(read_bytes(scratch / "a"), to_bytes("new"));
}

TEST(AtomicFile, AKilledWriterLeavesOnlyAPartFile) {
  const Scratch scratch;
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(scratch / "a");
    file.write("half");
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(scratch.names(), ElementsAre(MatchesRegex("\\.a\\.[a-z0-9]{6}\\.part")));
}

TEST(AtomicFile, GetsThePermissionsOfANewFile) {
  const Scratch scratch;
  const mode_t before = ::umask(0027);
  write_file(scratch / "a", "x");
  ::umask(before);
  EXPECT_EQ(static_cast<int>(std::filesystem::status(scratch / "a").permissions()), 0640);
}

TEST(AtomicFile, FollowsALinkAndKeepsIt) {
  const Scratch scratch;
  write_file(scratch / "real", "old");
  std::filesystem::create_symlink("real", scratch / "link");
  write_file(scratch / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(scratch / "link"));
  EXPECT_EQ(read_bytes(scratch / "real"), to_bytes("new"));
}

TEST(AtomicFile, TakesTheLongestName) {
  const Scratch scratch;
  const std::string name(255, 'n');
  write_file(scratch / name, "x");
  EXPECT_THAT(scratch.names(), ElementsAre(name));
}

TEST(AtomicFile, RefusesFoldersDevicesAndMissingFolders) {
  const Scratch scratch;
  EXPECT_THAT(input_error([&] { write_file(scratch.folder(), "x"); }), HasSubstr("is a folder"));
  EXPECT_THAT(input_error([&] { write_file(scratch / "", "x"); }), HasSubstr("is a folder"));
  EXPECT_THAT(input_error([] { write_file("/dev/null", "x"); }), HasSubstr("not a regular file"));
  EXPECT_THAT(input_error([&] { write_file(scratch / "no" / "a", "x"); }),
              HasSubstr("No such file or directory; create the folder first"));
  write_file(scratch / "file", "x");
  EXPECT_THAT(input_error([&] { write_file(scratch / "file" / "a", "x"); }),
              HasSubstr("cannot be created: Not a directory"));
  EXPECT_THAT(scratch.names(), ElementsAre("file"));
}

TEST(AtomicFile, NamesAFolderThatCannotBeWritten) {
  // /proc refuses new files to everybody, root included.
  EXPECT_THAT(input_error([] { write_file("/proc/karat_test", "x"); }),
              HasSubstr("/proc/karat_test: cannot be created: "));
}

/// Runs `body` in a child, so that limits and mounts end with it; its exit status.
int in_child(const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

TEST(AtomicFile, ALimitOnFileSizeIsAnError) {
  const Scratch scratch;
  const int status = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const std::string text(10'000, 'x');
    const std::string message = input_error([&] { write_file(scratch / "a", text); });
    return message.find("a: cannot be written: File too large; raise") != std::string::npos;
  });
  EXPECT_EQ(status, 0);
  EXPECT_THAT(scratch.names(), IsEmpty());
}

TEST(AtomicFile, AFullDiskIsAnError) {
  const Scratch scratch;
  if (::mount("tmpfs", scratch.folder().c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "needs the right to mount a small tmpfs";
  }
  const std::string message =
      input_error([&] { write_file(scratch / "a", std::string(1 << 20, 'x')); });
  const auto names = scratch.names();
  ::umount(scratch.folder().c_str());
  EXPECT_THAT(message, HasSubstr("a: cannot be written: No space left on device; free some space"));
  EXPECT_THAT(names, IsEmpty());
}

}  // namespace
}  // namespace karat::files

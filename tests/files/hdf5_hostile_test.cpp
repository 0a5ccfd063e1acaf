// Damaged and hostile HDF5 files, full disks: an Error each time, never the end of the process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "karat/files/hdf5.hpp"
#include "scratch.hpp"

namespace karat::files {
namespace {

using test::Bytes;
using test::input_error;
using test::read_bytes;
using test::Scratch;
using test::write_bytes;
using testing::HasSubstr;

constexpr Hdf5ReadOptions kImpatient{.patience = std::chrono::seconds(2)};

/// Reads all there is.
void read_all(const std::filesystem::path& path) {
  const Hdf5Reader reader(path, kImpatient);
  for (const TensorInfo& tensor : reader.tensors()) {
    if (tensor.problem.empty()) (void)reader.read(tensor.name);
  }
}

Bytes small_file(const Scratch& scratch) {
  Hdf5Writer writer(scratch / "small.h5", "t");
  writer.write("g/codes", make_tensor(DType::f8_e4m3, {2, 3}, Bytes(6, std::byte{0x38})));
  writer.write("packed", make_tensor(DType::f32, {8, 8}, std::vector<float>(64, 0.5f)),
               {.compression = Compression::fast, .chunk = {4, 8}});
  writer.set_attributes("g", {{"note", "text"}, {"n", std::int64_t{3}}});
  writer.commit();
  return read_bytes(scratch / "small.h5");
}

TEST(Hdf5Hostile, ASealedFileIsNeverReadDamaged) {
  const Scratch scratch;
  const Bytes file = small_file(scratch);
  // In the seal itself, see the tests of the seal; beyond it the hash finds every change.
  Bytes changed = file;
  for (std::size_t i = kSealSize; i < file.size(); ++i) {
    changed[i] ^= std::byte{0x10};
    write_bytes(scratch / "b.h5", changed);
    EXPECT_THAT(input_error([&] { Hdf5Reader reader(scratch / "b.h5"); }), HasSubstr("is damaged"));
    changed[i] = file[i];
  }
}

TEST(Hdf5Hostile, ASchemaChangedInTheSealIsHeldAgainstTheContent) {
  const Scratch scratch;
  small_file(scratch);
  write_seal(scratch / "small.h5", "u");
  EXPECT_THAT(input_error([&] { Hdf5Reader reader(scratch / "small.h5"); }),
              HasSubstr("its seal says u, its content says t"));
}

/// Without the seal nothing stands between the damage and HDF5 itself. All of the flips take
/// many minutes; the usual run takes every 64th.
TEST(Hdf5Hostile, AnUnsealedDamagedFileIsAnErrorOrReadable) {
  const Scratch scratch;
  Bytes file = small_file(scratch);
  file[0] = std::byte{'X'};
  const std::size_t step = std::getenv("KARAT_LONG") != nullptr ? 1 : 64;
  std::size_t refused = 0;
  const auto attempt = [&](const Bytes& changed) {
    write_bytes(scratch / "b.h5", changed);
    try {
      read_all(scratch / "b.h5");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input_output) << error.what();
      ++refused;
    }
  };
  attempt(file);
  EXPECT_EQ(refused, 0u);
  for (std::size_t i = kSealSize; i < file.size(); i += step) {
    attempt(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(i)));
    Bytes changed = file;
    changed[i] ^= std::byte{0xff};
    attempt(changed);
    changed[i] ^= std::byte{0xfe};
    attempt(changed);
  }
  EXPECT_GT(refused, (file.size() - kSealSize) / step) << "every truncation and some flips";
}

/// Old-format files have no checksums in their metadata: HDF5 walks straight into the damage.
TEST(Hdf5Hostile, OldFormatFilesWithoutChecksums) {
  const Scratch scratch;
  test::python(
      "import sys, h5py, numpy as np\n"
      "with h5py.File(sys.argv[1], 'w') as f:\n"
      "    f['g/a'] = np.arange(4.0); f['g'].attrs['s'] = 'text'\n"
      "    f.create_dataset('c', data=np.arange(8), chunks=(4,), compression='gzip')\n",
      {scratch / "a.h5"});
  const Bytes file = read_bytes(scratch / "a.h5");
  const std::size_t step = std::getenv("KARAT_LONG") != nullptr ? 1 : 71;
  for (std::size_t i = 0; i < file.size(); i += step) {
    for (const auto mask : {std::byte{0xff}, std::byte{1}, std::byte{0x80}}) {
      Bytes changed = file;
      changed[i] ^= mask;
      write_bytes(scratch / "b.h5", changed);
      try {
        read_all(scratch / "b.h5");
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::input_output) << i << ": " << error.what();
      }
    }
  }
}

TEST(Hdf5Hostile, ShapesBeyondTheFileAreRefusedBeforeMemoryIsTaken) {
  const Scratch scratch;
  test::python(
      "import sys, h5py\n"
      "with h5py.File(sys.argv[1], 'w') as f:\n"
      "    f.create_dataset('huge', (1 << 40,), 'f8')\n"
      "    f.create_dataset('sparse', (1 << 50,), 'u1', chunks=(1 << 30,))\n"
      "    f.create_dataset('rank', (1,) * 32, 'u1', data=7)\n",
      {scratch / "a.h5"});
  const Hdf5Reader reader(scratch / "a.h5");
  EXPECT_THAT(input_error([&] { reader.read("huge"); }), HasSubstr("huge: misses values"));
  EXPECT_THAT(input_error([&] { reader.read("sparse"); }), HasSubstr("sparse: misses values"));
  EXPECT_EQ(reader.read("rank").as<std::uint8_t>()[0], 7);
}

/// Writes something of a few MB under a limit on file size; true if that ended as an Error with
/// nothing left behind, false if it succeeded. Anything else fails the test.
bool refused_under_limit(rlim_t limit) {
  const Scratch scratch;
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit size{.rlim_cur = limit, .rlim_max = limit};
    ::setrlimit(RLIMIT_FSIZE, &size);
    std::string message;
    try {
      Hdf5Writer writer(scratch / "a.h5", "t");
      for (int i = 0; i < 20; ++i) {
        const Tensor tensor = make_tensor(DType::u8, {10'000}, Bytes(10'000, std::byte(i)));
        writer.write("d" + std::to_string(i), tensor);
        writer.write("c" + std::to_string(i), tensor,
                     {.compression = Compression::fast, .chunk = {100}});
      }
      writer.commit();
    } catch (const Error& error) {
      message = error.what();
    }
    const bool clean = scratch.names() == (message.empty() ? std::vector<std::string>{"a.h5"}
                                                           : std::vector<std::string>{});
    const bool clear = message.empty() || message.find("File too large") != message.npos;
    if (!clear) (void)!::write(2, message.data(), message.size());
    std::exit(!clean || !clear ? 3 : message.empty() ? 0 : 1);  // with every at-exit function
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status) << " at " << limit;
  EXPECT_LE(WEXITSTATUS(status), 1) << limit;
  return WEXITSTATUS(status) == 1;
}

TEST(Hdf5Hostile, AFullDiskIsAnErrorWhereverItStrikes) {
  for (const rlim_t limit : {0, 1, 100, 512, 600, 1000, 2000, 5000, 20'000, 100'000, 200'000}) {
    EXPECT_TRUE(refused_under_limit(limit)) << limit;
  }
  EXPECT_FALSE(refused_under_limit(10'000'000));
}

TEST(Hdf5Hostile, AnUnwritableFolderIsAnError) {
  EXPECT_THAT(input_error([] { Hdf5Writer writer("/proc/a.h5", "t"); }),
              HasSubstr("/proc/a.h5: cannot be created"));
  EXPECT_THAT(input_error([] { Hdf5Writer writer("/nowhere/a.h5", "t"); }),
              HasSubstr("create the folder first"));
}

}  // namespace
}  // namespace karat::files

// One entrance for all kinds of files, told apart by content alone.
#include "karat/files/load.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/files/hdf5.hpp"
#include "karat/files/npy.hpp"
#include "karat/files/safetensors.hpp"
#include "scratch.hpp"

namespace karat::files {
namespace {

using test::input_error;
using test::Scratch;
using test::to_bytes;
using test::write_bytes;
using testing::HasSubstr;

TEST(Load, FindsTheSameTensorsInEveryKindOfFile) {
  const Scratch scratch;
  const TensorFile file{test::one_of_everything(), {{"note", "n"}}};
  write_safetensors(scratch / "a.bin", file.tensors, file.metadata);
  {
    Hdf5Writer writer(scratch / "b.bin", "t");
    for (const auto& [name, tensor] : file.tensors) writer.write(name, tensor);
    writer.set_attributes("", {{"note", "n"}, {"number", std::int64_t{1}}});
    writer.commit();
  }
  EXPECT_EQ(file_kind(scratch / "a.bin"), FileKind::safetensors);
  EXPECT_EQ(file_kind(scratch / "b.bin"), FileKind::hdf5);
  EXPECT_EQ(load_tensors(scratch / "a.bin"), file);
  EXPECT_EQ(load_tensors(scratch / "b.bin").tensors, file.tensors);
  EXPECT_EQ(load_tensors(scratch / "b.bin").metadata, (Metadata{{"note", "n"}, {"schema", "t"}}));
  EXPECT_EQ(list_tensors(scratch / "a.bin"), list_tensors(scratch / "b.bin"));
  for (const char* name : {"a.bin", "b.bin"}) {
    const TensorFile some = load_tensors(scratch / name, {"bf16", "five"});
    EXPECT_EQ(some.tensors,
              (Tensors{{"bf16", file.tensors.at("bf16")}, {"five", file.tensors.at("five")}}));
    EXPECT_EQ(some.metadata.at("note"), "n");
    EXPECT_THAT(input_error([&] { load_tensors(scratch / name, {"nope"}); }),
                HasSubstr(std::string(name) + ": nope: is not in the file"));
  }
}

TEST(Load, ANpyIsNamedAfterItsFile) {
  const Scratch scratch;
  const Tensor tensor = make_tensor(DType::bf16, {3});
  write_npy(scratch / "q.npy", tensor);
  EXPECT_EQ(load_tensors(scratch / "q.npy"), (TensorFile{{{"q", tensor}}, {}}));
  EXPECT_EQ(load_tensors(scratch / "q.npy", {"q"}).tensors.size(), 1u);
  EXPECT_THAT(list_tensors(scratch / "q.npy"),
              testing::ElementsAre(TensorInfo{"q", DType::bf16, {3}, ""}));
  EXPECT_THAT(input_error([&] { load_tensors(scratch / "q.npy", {"k"}); }),
              HasSubstr("q.npy: k: is not in the file, a .npy that holds q"));
}

TEST(Load, SaysWhatItCannotRead) {
  const Scratch scratch;
  const auto refused = [&](std::string_view content) {
    write_bytes(scratch / "x", to_bytes(content));
    return input_error([&] { load_tensors(scratch / "x"); });
  };
  EXPECT_THAT(refused(""), HasSubstr("is neither safetensors, .npy nor HDF5"));
  EXPECT_THAT(refused("hello, world"), HasSubstr("is neither safetensors, .npy nor HDF5"));
  EXPECT_THAT(refused("PK\x03\x04rest"), HasSubstr("is a zip archive"));
  EXPECT_THAT(refused(std::string_view("\x02\0\0\0\0\0\0\0{]", 10)),
              HasSubstr("x: header: line 1"));
  EXPECT_THAT(refused("\x93NUMPY"), HasSubstr("does not begin like a .npy file"));
  EXPECT_THAT(refused("\x89HDF\r\n\x1a\n"), HasSubstr("cannot be read as HDF5"));
  EXPECT_THAT(input_error([&] { load_tensors(scratch.folder()); }), HasSubstr("is a folder"));
  EXPECT_THAT(input_error([&] { load_tensors(scratch / "no"); }), HasSubstr("No such file"));
  EXPECT_THAT(input_error([] { load_tensors("/dev/zero"); }), HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace karat::files

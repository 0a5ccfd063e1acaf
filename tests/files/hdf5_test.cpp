// HDF5 written under a seal and read through the child: round trips, determinism, h5py as the
// independent reader and writer, misuse.
#include "karat/files/hdf5.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "scratch.hpp"

namespace karat::files {
namespace {

using test::input_error;
using test::one_of_everything;
using test::read_bytes;
using test::Scratch;
using testing::ElementsAre;
using testing::HasSubstr;

void write_everything(const std::filesystem::path& path) {
  Hdf5Writer writer(path, "karat-test/1");
  for (const auto& [name, tensor] : one_of_everything()) {
    writer.write("plain/" + name, tensor);
    writer.write("deep/er/" + name, tensor, {.compression = Compression::fast, .chunk = {}});
  }
  writer.group("empty");
  writer.set_attributes("", {{"library", "1.0 ü"}, {"seed", std::int64_t{-7}}, {"nothing", ""}});
  writer.set_attributes("plain/e4m3", {{"scale", 0.1},
                                       {"tile", std::vector<std::int64_t>{6, 8, 8}},
                                       {"levels", std::vector<double>{0.5, -0.0}},
                                       {"rounding", "nearest_even"}});
  writer.set_attributes("empty", {{"case", std::string(200'000, 'j')}});
  writer.commit();
}

TEST(Hdf5, EverythingSurvives) {
  const Scratch scratch;
  write_everything(scratch / "a.h5");
  EXPECT_THAT(scratch.names(), ElementsAre("a.h5"));
  const Hdf5Reader reader(scratch / "a.h5");
  ASSERT_TRUE(reader.seal());
  EXPECT_EQ(reader.seal()->schema, "karat-test/1");
  EXPECT_EQ(reader.text("", "schema"), "karat-test/1");
  const Tensors tensors = one_of_everything();
  EXPECT_EQ(reader.tensors().size(), 2 * tensors.size());
  for (const auto& [name, tensor] : tensors) {
    for (const std::string folder : {"plain/", "deep/er/"}) {
      ASSERT_TRUE(reader.contains(folder + name));
      EXPECT_EQ(reader.read(folder + name), tensor) << folder + name;
    }
  }
  EXPECT_EQ(reader.text("", "library"), "1.0 ü");
  EXPECT_EQ(reader.text("", "nothing"), "");
  EXPECT_EQ(reader.integer("", "seed"), -7);
  EXPECT_EQ(reader.text("empty", "case").size(), 200'000u);
  const Attributes& attributes = reader.attributes("plain/e4m3");
  EXPECT_EQ(attributes.size(), 5u);
  EXPECT_EQ(attributes.at("format"), Attribute("e4m3"));
  EXPECT_EQ(attributes.at("scale"), Attribute(0.1));
  EXPECT_EQ(attributes.at("tile"), Attribute(std::vector<std::int64_t>{6, 8, 8}));
  EXPECT_EQ(attributes.at("levels"), Attribute(std::vector<double>{0.5, -0.0}));
}

/// Leaves free blocks of many sizes full of 0xA5 to whoever allocates next (the child inherits
/// them).
void dirty_free_memory() {
  std::vector<std::vector<unsigned char>> blocks;
  for (std::size_t size = 16; size < 100'000; size += 16 + size / 16) {
    for (int i = 0; i < 50; ++i) blocks.emplace_back(size, 0xA5);
  }
}

TEST(Hdf5, TheSameContentGivesTheSameBytesLater) {
  const Scratch scratch;
  write_everything(scratch / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // times are kept in seconds
  dirty_free_memory();  // whatever is copied to the file uninitialised now differs
  write_everything(scratch / "b.h5");
  EXPECT_EQ(read_bytes(scratch / "a.h5"), read_bytes(scratch / "b.h5"));
}

Tensor counting(const Shape& shape) {
  Tensor tensor = make_tensor(DType::i32, shape);
  std::iota(tensor.as<std::int32_t>().begin(), tensor.as<std::int32_t>().end(), 0);
  return tensor;
}

TEST(Hdf5, PartsAreBoxes) {
  const Scratch scratch;
  const Tensor whole = counting({5, 4, 6});
  {
    Hdf5Writer writer(scratch / "a.h5", "t");
    for (const char* name : {"contiguous", "chunked"}) {
      const bool chunked = std::string_view(name) == "chunked";
      writer.create(
          name, DType::i32, {5, 4, 6},
          {.compression = Compression::small, .chunk = chunked ? Shape{2, 4, 5} : Shape{}});
      for (std::size_t i = 0; i < 5; ++i) {
        writer.write_part(name, {i, 0, 0}, {1, 4, 6},
                          std::span(whole.bytes).subspan(i * 24 * 4, 24 * 4));
      }
    }
    writer.commit();
  }
  const Hdf5Reader reader(scratch / "a.h5");
  for (const char* name : {"contiguous", "chunked"}) {
    EXPECT_EQ(reader.read(name), whole);
    const Tensor box = reader.read_part(name, {1, 2, 3}, {3, 1, 2});
    EXPECT_EQ(box.shape, (Shape{3, 1, 2}));
    EXPECT_THAT(box.as<std::int32_t>(), ElementsAre(39, 40, 63, 64, 87, 88));
    EXPECT_TRUE(reader.read_part(name, {5, 0, 0}, {0, 4, 6}).bytes.empty());
    EXPECT_THROW(reader.read_part(name, {3, 0, 0}, {3, 4, 6}), Error);
    EXPECT_THROW(reader.read_part(name, {0}, {1}), Error);
  }
}

TEST(Hdf5, LargeTensorsTravelInPieces) {
  const Scratch scratch;
  const Tensor whole = counting({3, 700, 5000});  // 42 MB, pieces are 16 MiB
  {
    Hdf5Writer writer(scratch / "a.h5", "t");
    writer.write("plain", whole);
    writer.write("packed", whole, {.compression = Compression::fast, .chunk = {}});
    writer.write("one_chunk", whole, {.compression = Compression::fast, .chunk = whole.shape});
    writer.commit();
  }
  const Hdf5Reader reader(scratch / "a.h5");
  for (const char* name : {"plain", "packed", "one_chunk"}) EXPECT_EQ(reader.read(name), whole);
}

TEST(Hdf5, H5pyReadsTheSame) {
  const Scratch scratch;
  write_everything(scratch / "a.h5");
  const std::string script = R"(
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], 'r') as f:
    assert f.userblock_size == 512
    assert f.attrs['schema'] == 'karat-test/1' and f.attrs['library'] == '1.0 ü'
    assert f.attrs['seed'] == -7 and f.attrs['seed'].dtype == np.int64
    types = dict(e4m3='u1', e5m2='u1', e8m0='u1', bf16='<u2', f16='<u2', f32='<f4', f64='<f8',
                 i8='i1', u8='u1', i16='<i2', u16='<u2', i32='<i4', u32='<u4', i64='<i8', u64='<u8',
                 bool='u1')
    for name, t in types.items():
        for folder in ('plain', 'deep/er'):
            d = f[folder + '/' + name]
            size = np.dtype(t).itemsize
            i = np.arange(2 * 3 * 43 * size)
            raw = (i % 2 if name == 'bool' else (7 * i + i // 256) % 256).astype('u1')
            assert d.dtype == np.dtype(t) and d.shape == (2, 3, 43), name
            assert d[()].tobytes() == raw.tobytes(), name
            coded = name in ('e4m3', 'e5m2', 'e8m0', 'bf16', 'f16', 'bool')
            assert (d.attrs.get('format') == name) == coded, name
    assert f['plain/scalar'][()] == 0.0 and f['plain/empty'].shape == (4, 0, 2)
    assert f['plain/e4m3'].attrs['tile'].tolist() == [6, 8, 8]
    assert f['deep/er/f32'].compression == 'gzip' and f['deep/er/f32'].shuffle
    assert f['plain/f32'].chunks is None
print('ok')
)";
  EXPECT_EQ(test::python(script, {scratch / "a.h5"}), "ok\n");
}

TEST(Hdf5, ReadsWhatH5pyWrites) {
  const Scratch scratch;
  const std::string script = R"(
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], 'w') as f:
    f['f32'] = np.arange(6, dtype='<f4').reshape(2, 3)
    f['f64be'] = np.array([1.5, -2.0], '>f8')
    f['i32be'] = np.array([1, -2], '>i4')
    f['half'] = np.array([1.0, -2.0], np.float16)
    f['flags'] = np.array([True, False, True])
    f['g/codes'] = np.array([0x38, 0xb8], np.uint8)
    f['g/codes'].attrs['format'] = 'e4m3'
    f['g/codes'].attrs['list'] = [1, 2, 3]
    f['g/codes'].attrs['real'] = np.float32(0.5)
    f.create_dataset('g/packed', data=np.arange(1000, dtype='i8'), chunks=(64,), compression='lzf')
    f.create_dataset('scalar', data=3.5)
    f['names'] = np.array([b'a', b'b'])
    f['pairs'] = np.zeros(2, [('a', 'i4'), ('b', 'f4')])
    f['wrong'] = np.zeros(2, 'i4'); f['wrong'].attrs['format'] = 'e4m3'
    f['unknown'] = np.zeros(2, 'u1'); f['unknown'].attrs['format'] = 'e3m4'
    f.create_dataset('unwritten', (4,), 'f4')
    d = f.create_dataset('partly', (4,), 'f4', chunks=(2,)); d[:2] = 1
    f['null'] = h5py.Empty('f4')
    f['soft'] = h5py.SoftLink('/f32'); f['ext'] = h5py.ExternalLink('other.h5', '/x')
    f['hard'] = f['scalar']
    f.create_dataset('outside', (4,), 'f4', external=[('raw.bin', 0, 16)])
    layout = h5py.VirtualLayout((2, 3), 'f4'); layout[:] = h5py.VirtualSource('o.h5', 'x', (2, 3))
    f.create_virtual_dataset('virtual', layout)
    f['loop'] = f['/']
    f.attrs['note'] = 'hello ü'
)";
  test::python(script, {scratch / "a.h5"});
  const Hdf5Reader reader(scratch / "a.h5");
  EXPECT_EQ(reader.seal(), std::nullopt);
  EXPECT_EQ(reader.text("", "note"), "hello ü");
  EXPECT_EQ(reader.read("f32"),
            make_tensor(DType::f32, {2, 3}, std::vector{0.f, 1.f, 2.f, 3.f, 4.f, 5.f}));
  EXPECT_EQ(reader.read("f64be"), make_tensor(DType::f64, {2}, std::vector{1.5, -2.0}));
  EXPECT_EQ(reader.read("i32be"), make_tensor(DType::i32, {2}, std::vector<std::int32_t>{1, -2}));
  EXPECT_EQ(reader.read("half"),
            make_tensor(DType::f16, {2}, std::vector<std::uint16_t>{0x3c00, 0xc000}));
  EXPECT_EQ(reader.read("flags"),
            make_tensor(DType::boolean, {3}, std::vector<std::uint8_t>{1, 0, 1}));
  EXPECT_EQ(reader.read("g/codes"),
            make_tensor(DType::f8_e4m3, {2}, std::vector<std::uint8_t>{0x38, 0xb8}));
  EXPECT_EQ(reader.attributes("g/codes").at("list"), Attribute(std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(reader.attributes("g/codes").at("real"), Attribute(0.5));
  const auto refused = [&](const char* name) { return input_error([&] { reader.read(name); }); };
  EXPECT_THAT(refused("names"), HasSubstr("a.h5: names: holds no plain numbers: text"));
  EXPECT_THAT(refused("pairs"), HasSubstr("a.h5: pairs: holds no plain numbers: records"));
  for (const char* name : {"wrong", "unknown"})
    EXPECT_THAT(refused(name),
                HasSubstr(std::string("a.h5: ") + name + ": has an attribute format"));
  EXPECT_THAT(refused("unwritten"), HasSubstr("misses values: they were never written"));
  EXPECT_THAT(refused("partly"), HasSubstr("misses values: 1 of 2 chunks"));
  EXPECT_THAT(refused("null"), HasSubstr("null: has no dataspace"));
  EXPECT_THAT(refused("virtual"), HasSubstr("has its values in other files"));
  EXPECT_THAT(refused("outside"), HasSubstr("has its values in other files"));
  EXPECT_THAT(refused("g/packed"), HasSubstr("is compressed by filter 32000"));
  EXPECT_THAT(refused("soft"), HasSubstr("soft: is not in the file"));
  EXPECT_THAT(refused("ext"), HasSubstr("ext: is not in the file"));
  EXPECT_THAT(input_error([&] { (void)reader.text("", "no"); }),
              HasSubstr("attribute no is missing"));
  EXPECT_THAT(input_error([&] { (void)reader.integer("", "note"); }),
              HasSubstr("note is no integer"));
  EXPECT_THAT(input_error([&] { (void)reader.attributes("x"); }),
              HasSubstr("x: is not in the file"));
}

TEST(Hdf5, MisuseOfTheWriterIsAnError) {
  const Scratch scratch;
  {
    Hdf5Writer writer(scratch / "a.h5", "t");
    EXPECT_THROW(writer.write_part("a", {}, {}, {}), Error);
    writer.create("a", DType::f32, {4});
    EXPECT_THROW(writer.write_part("a", {3}, {2}, std::vector<std::byte>(8)), Error);
    EXPECT_THROW(writer.write_part("a", {0}, {2}, std::vector<std::byte>(7)), Error);
    EXPECT_THROW(writer.create("b", DType::f32, {4}, {.compression = {}, .chunk = {5}}), Error);
    EXPECT_THAT(input_error([&] { writer.create("a", DType::f32, {4}); }),
                HasSubstr("a.h5: a: cannot be written: "));
    EXPECT_THAT(input_error([&] { writer.create("a/b", DType::f32, {4}); }),
                HasSubstr("a.h5: a/b: cannot be written: "));
    EXPECT_THAT(input_error([&] { writer.set_attributes("no", {{"a", "b"}}); }), HasSubstr("no"));
  }
  EXPECT_THAT(scratch.names(), testing::IsEmpty());
}

TEST(Hdf5, SaysWhatIsNoHdf5) {
  const Scratch scratch;
  test::write_bytes(scratch / "a", test::to_bytes("hello"));
  EXPECT_THAT(input_error([&] { Hdf5Reader reader(scratch / "a"); }),
              HasSubstr("a: cannot be read as HDF5: "));
  EXPECT_THAT(input_error([&] { Hdf5Reader reader(scratch / "none"); }), HasSubstr("No such file"));
  EXPECT_THAT(input_error([&] { Hdf5Reader reader(scratch.folder()); }), HasSubstr("is a folder"));
}

}  // namespace
}  // namespace karat::files

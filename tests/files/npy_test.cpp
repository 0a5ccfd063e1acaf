// .npy: round trips, NumPy as the independent reader and writer, notes, and every refusal.
#include "karat/files/npy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/files/atomic_file.hpp"
#include "scratch.hpp"

namespace karat::files {
namespace {

using test::Bytes;
using test::input_error;
using test::one_of_everything;
using test::Scratch;
using test::to_bytes;
using testing::ElementsAre;
using testing::HasSubstr;

/// Version 1 file by hand.
Bytes file_of(const std::string& header, std::size_t data_size) {
  std::string text = "\x93NUMPY\x01";
  text += {'\0', static_cast<char>(header.size()), static_cast<char>(header.size() >> 8)};
  text += header;
  for (std::size_t i = 0; i < data_size; ++i) text += static_cast<char>(i);
  return to_bytes(text);
}

TEST(Npy, EveryTypeSurvives) {
  const Scratch scratch;
  for (const auto& [name, tensor] : one_of_everything()) {
    const auto path = scratch / (name + ".npy");
    write_npy(path, tensor);
    EXPECT_EQ(read_npy(path), tensor) << name;
    EXPECT_EQ(list_npy(path), (TensorInfo{name, tensor.dtype, tensor.shape, ""}));
    EXPECT_EQ(test::read_bytes(path), format_npy(tensor));
    EXPECT_EQ(std::filesystem::exists(path.string() + ".json"), !info(tensor.dtype).npy_names_it);
    EXPECT_EQ(parse_npy(format_npy(tensor), "x", tensor.dtype), tensor) << name;
  }
}

TEST(Npy, NumpyReadsTheSame) {
  const Scratch scratch;
  for (const auto& [name, tensor] : one_of_everything()) {
    write_npy(scratch / (name + ".npy"), tensor);
  }
  const std::string script = R"(
import sys, json, os, numpy as np
types = dict(e4m3='u1', e5m2='u1', e8m0='u1', bf16='<u2', f16='<f2', f32='<f4', f64='<f8', i8='i1',
             u8='u1', i16='<i2', u16='<u2', i32='<i4', u32='<u4', i64='<i8', u64='<u8', bool='?')
for name, t in types.items():
    a = np.load(f'{sys.argv[1]}/{name}.npy')
    i = np.arange(2 * 3 * 43 * np.dtype(t).itemsize)
    raw = (i % 2 if name == 'bool' else (7 * i + i // 256) % 256).astype('u1')
    assert a.dtype == np.dtype(t) and a.shape == (2, 3, 43) and a.flags.c_contiguous, name
    assert a.tobytes() == raw.tobytes(), name
    note = f'{sys.argv[1]}/{name}.npy.json'
    if name in ('e4m3', 'e5m2', 'e8m0', 'bf16'):
        assert json.load(open(note)) == {'dtype': name}
    else:
        assert not os.path.exists(note)
assert np.load(f'{sys.argv[1]}/scalar.npy').shape == ()
assert np.load(f'{sys.argv[1]}/empty.npy').shape == (4, 0, 2)
print('ok')
)";
  EXPECT_EQ(test::python(script, {scratch.folder()}), "ok\n");
}

TEST(Npy, ReadsWhatNumpyWrites) {
  const Scratch scratch;
  const std::string script = R"(
import os, sys, numpy as np
os.chdir(sys.argv[1])
a = np.arange(24, dtype='<f4').reshape(2, 3, 4)
np.save('c', a); np.save('fortran', np.asfortranarray(a)); np.save('big', a.astype('>f4'))
np.save('both', np.asfortranarray(a.astype('>i8')))
np.save('scalar', np.float64(2.5)); np.save('flags', np.array([True, False]))
np.save('opaque', np.array([0x38, 0xb8], 'u1').view('V1'))
np.save('text', np.array(['a'])); np.save('object', np.array([{}], dtype=object))
np.save('record', np.zeros(1, [('a', 'f4')])); np.save('complex', np.zeros(1, 'c8'))
for v in (2, 3):
    with open(f'v{v}.npy', 'wb') as f: np.lib.format.write_array(f, a, version=(v, 0))
)";
  test::python(script, {scratch.folder()});
  const Tensor a = read_npy(scratch / "c.npy");
  EXPECT_EQ(a.shape, (Shape{2, 3, 4}));
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(a.as<float>()[i], static_cast<float>(i));
  for (const char* name : {"fortran.npy", "big.npy", "v2.npy", "v3.npy"}) {
    EXPECT_EQ(read_npy(scratch / name), a) << name;
  }
  const Tensor both = read_npy(scratch / "both.npy");
  for (std::size_t i = 0; i < 24; ++i) {
    EXPECT_EQ(both.as<std::int64_t>()[i], static_cast<std::int64_t>(i));
  }
  EXPECT_EQ(read_npy(scratch / "scalar.npy"), make_tensor(DType::f64, {}, std::vector{2.5}));
  EXPECT_EQ(read_npy(scratch / "flags.npy"),
            make_tensor(DType::boolean, {2}, std::vector<std::uint8_t>{1, 0}));
  const auto refused = [&](const char* name) {
    return input_error([&] { read_npy(scratch / name); });
  };
  EXPECT_THAT(refused("text.npy"), HasSubstr("holds <U1, which are no plain numbers"));
  EXPECT_THAT(refused("object.npy"), HasSubstr("holds |O, which are no plain numbers"));
  EXPECT_THAT(refused("complex.npy"), HasSubstr("holds <c8"));
  EXPECT_THAT(refused("record.npy"), HasSubstr("holds records"));
  EXPECT_THAT(refused("opaque.npy"), HasSubstr("opaque.npy.json, such as {\"dtype\": \"e4m3\"}"));
  write_file(scratch / "opaque.npy.json", "{\"dtype\": \"e4m3\"}");
  EXPECT_EQ(read_npy(scratch / "opaque.npy"),
            make_tensor(DType::f8_e4m3, {2}, std::vector<std::uint8_t>{0x38, 0xb8}));
}

TEST(Npy, NotesMustFitAndGoAwayWithTheirArray) {
  const Scratch scratch;
  const auto path = scratch / "a.npy";
  write_npy(path, make_tensor(DType::f8_e4m3, {2}));
  EXPECT_THAT(scratch.names(), ElementsAre("a.npy", "a.npy.json"));
  const auto refused = [&](const char* note) {
    write_file(scratch / "a.npy.json", note);
    return input_error([&] { read_npy(path); });
  };
  EXPECT_THAT(refused("{\"dtype\": \"bf16\"}"), HasSubstr("holds |u1 but its note says bf16"));
  EXPECT_THAT(refused("{\"dtype\": \"f32\"}"), HasSubstr("but its note says f32"));
  EXPECT_THAT(refused("{\"dtype\": \"e9m9\"}"), HasSubstr("a.npy.json: names no known dtype"));
  EXPECT_THAT(refused("[]"), HasSubstr("names no known dtype"));
  EXPECT_THAT(refused("{"), HasSubstr("a.npy.json: line 1"));
  write_npy(path, make_tensor(DType::f32, {2}));
  EXPECT_THAT(scratch.names(), ElementsAre("a.npy"));
}

TEST(Npy, RefusesEachWrongHeader) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
  EXPECT_EQ(parse_npy(file_of(good, 8), "x").shape, Shape{2});
  const struct {
    const char* header;
    std::size_t data;
    const char* message;
  } cases[] = {
      {"", 0, "x: has a header that is not NumPy's"},
      {"{'descr': '<f4', 'fortran_order': False, }", 0, "not NumPy's"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2), }", 8, "not NumPy's"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, "not NumPy's"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }", 8, "not NumPy's"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", 8, "not NumPy's"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x", 8, "not NumPy's"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8, "not NumPy's"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", 8, "not NumPy's"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 8, "NumPy's"},
      {"{'descr': '<f4", 8, "not NumPy's"},
      {"{'descr': 'f4', 'fortran_order': False, 'shape': (2,)}", 8, "holds f4, which are no"},
      {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", 8, "which are no plain numbers"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 7, "holds 7 bytes of values"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9, "holds 9 bytes of values"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 0,
       "holds 0 bytes of values"},
  };
  for (const auto& c : cases) {
    const Bytes bytes = file_of(c.header, c.data);
    EXPECT_THAT(input_error([&] { parse_npy(bytes, "x"); }), HasSubstr(c.message)) << c.header;
  }
  Bytes other = file_of(good, 8);
  other[6] = std::byte{4};
  EXPECT_THAT(input_error([&] { parse_npy(other, "x"); }), HasSubstr("has .npy version 4.0"));
  other = file_of(good, 8);
  other[9] = std::byte{0xff};
  EXPECT_THAT(input_error([&] { parse_npy(other, "x"); }), HasSubstr("says its header has"));
}

TEST(Npy, ReadsTheLongIntegersOfPython2) {
  const auto shape = [](const std::string& text) {
    return parse_npy(
               file_of("{'descr': '<f4', 'fortran_order': False, 'shape': " + text + ", }\n", 24),
               "x")
        .shape;
  };
  EXPECT_EQ(shape("(6L,)"), Shape{6});
  EXPECT_EQ(shape("(2L, 3L)"), (Shape{2, 3}));
  EXPECT_THAT(input_error([&] { shape("(2LL, 3)"); }), HasSubstr("not NumPy's"));
  EXPECT_THAT(input_error([&] { shape("(6L)"); }), HasSubstr("not NumPy's"));
}

TEST(Npy, CorruptionIsAnErrorOrAnotherArray) {
  const Tensor tensor =
      make_tensor(DType::i16, {2, 3}, std::vector<std::int16_t>{1, 2, 3, 4, 5, 6});
  const Bytes bytes = format_npy(tensor);
  std::size_t accepted = 0;
  test::for_each_corruption(bytes, [&](const Bytes& changed) {
    (void)parse_npy(changed, "x");
    EXPECT_EQ(changed.size(), bytes.size()) << "a truncated file was accepted";
    ++accepted;
  });
  EXPECT_GE(accepted, 2 * 12u);
}

}  // namespace
}  // namespace karat::files

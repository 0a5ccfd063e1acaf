// HDF5 files of tensors and attributes, written under a seal and read without trust.
// libhdf5 1.10 crashes on some damaged files and when a full disk stops it, so it only ever runs in
// a forked child that the caller's process talks to: whatever a file does to it is an Error here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "karat/files/seal.hpp"
#include "karat/files/tensor.hpp"

namespace karat::files {

/// Names of groups and datasets are paths without a leading slash: "stages/q_codes"; "" is the
/// root. Codes lie in the file as unsigned integers with the attribute `format` ("e4m3", "bf16",
/// "f16", "bool", ...): HDF5 never converts them. On reading, that attribute names the type again;
/// booleans as h5py writes them and floats with the bits of f16, bf16, e4m3 or e5m2 (h5py with
/// ml_dtypes, HDF5 2.0) are understood too; opaque codes of one or two bytes where `format` names
/// them.
using Attribute =
    std::variant<std::string, std::int64_t, double, std::vector<std::int64_t>, std::vector<double>>;
using Attributes = std::map<std::string, Attribute>;

enum class Compression {
  none,
  fast,   ///< bytes shuffled, deflate level 1
  small,  ///< bytes shuffled, deflate level 6
};

struct DatasetOptions {
  Compression compression = Compression::none;
  /// Chunk shape; if empty, contiguous without compression, about 1 MiB of whole rows with it.
  /// Scalars and tensors without elements are never chunked.
  Shape chunk;
};

/// Writes one sealed file. The same calls give the same bytes, whenever they are made (no times are
/// recorded). Failures throw Error(input_output) naming the destination and the system's reason;
/// unless commit() came to its end nothing stands under the final name.
class Hdf5Writer {
 public:
  /// Writes the root attribute `schema` too. @param schema as in write_seal()
  Hdf5Writer(const std::filesystem::path& destination, const std::string& schema);
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  /// A group; the groups on the way to anything are made as needed.
  void group(const std::string& name);
  /// A whole dataset.
  void write(const std::string& name, const Tensor& tensor, const DatasetOptions& options = {});
  /// A dataset whose values follow in parts. Values never written read as nothing: the reader
  /// refuses a dataset (or chunk) that was not stored.
  void create(const std::string& name, DType dtype, const Shape& shape,
              const DatasetOptions& options = {});
  /// The box of `count` elements from `offset`, row-major, `values` its raw little-endian bytes.
  void write_part(const std::string& name, const Shape& offset, const Shape& count,
                  std::span<const std::byte> values);
  /// Attributes of a group or dataset that exists; a text may be long (JSON).
  void set_attributes(const std::string& name, const Attributes& attributes);

  /// Closes, seals, makes durable and names the file.
  Seal commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// How long one answer of the child may take before it is stopped, and the file called unreadable.
struct Hdf5ReadOptions {
  std::chrono::seconds patience{60};
};

/// Reads any HDF5 file, sealed or a user's own. Errors are Error(input_output) with the subject
/// "file" or "file: dataset". One thread at a time may use a reader.
class Hdf5Reader {
 public:
  /// Verifies the seal if there is one (the whole file is hashed), then lists everything inside.
  explicit Hdf5Reader(const std::filesystem::path& path, const Hdf5ReadOptions& options = {});
  ~Hdf5Reader();
  Hdf5Reader(const Hdf5Reader&) = delete;
  Hdf5Reader& operator=(const Hdf5Reader&) = delete;

  /// The verified seal; nothing for files that karat did not write.
  const std::optional<Seal>& seal() const;

  /// Every dataset, sorted by name. Those that are no tensors (strings, compounds, virtual or
  /// external storage, values never stored, a filter this HDF5 lacks) say so in `problem`. Links to
  /// other files and soft links are not followed.
  const std::vector<TensorInfo>& tensors() const;
  bool contains(const std::string& name) const;
  /// Throws if there is no such dataset or it is no tensor.
  const TensorInfo& tensor_info(const std::string& name) const;

  Tensor read(const std::string& name) const;
  /// The box of `count` elements from `offset`; must lie inside, else Error(internal).
  Tensor read_part(const std::string& name, const Shape& offset, const Shape& count) const;
  /// The same into memory of exactly the box's bytes.
  void read_part(const std::string& name, const Shape& offset, const Shape& count,
                 std::span<std::byte> out) const;

  /// Attributes of a group or dataset, without those that are neither text nor numbers. Throws if
  /// there is no such object.
  const Attributes& attributes(const std::string& name) const;
  /// One attribute of the type asked for. Throws if it is missing or another type.
  const std::string& text(const std::string& name, const std::string& attribute) const;
  std::int64_t integer(const std::string& name, const std::string& attribute) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace karat::files

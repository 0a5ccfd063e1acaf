// In the child: attributes of HDF5 objects. Between child and parent: attributes as JSON.
#pragma once

#include <string>

#include "handle.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/files/json_file.hpp"

namespace karat::files {

void write_attributes(hid_t object, const Attributes& attributes);
/// Those of text and numbers; others are passed over.
Attributes read_attributes(hid_t object);
/// A text attribute, empty if there is none.
std::string text_attribute(hid_t object, const char* name);

/// [[name, "text" | "integer" | "real" | "integers" | "reals", value], ...]; reals travel as their
/// bits. Lists and not objects: names from a file may become equal where they are no UTF-8.
Json attributes_to_json(const Attributes& attributes);
/// Throws nlohmann's exceptions for anything that attributes_to_json() does not write.
Attributes attributes_from_json(const Json& json);

}  // namespace karat::files

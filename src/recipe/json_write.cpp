// Printing of the resolved recipe: every field in table order, on one line or as a page. The
// backward's stand there where the recipe has one.
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::recipe {
namespace {

constexpr std::size_t kPageWidth = 100;

/// "softmax.exp2" -> "softmax"; empty for a top-level field.
std::string section_of(const Field& field) {
  const std::size_t dot = field.path.find('.');
  return dot == std::string::npos ? std::string() : field.path.substr(0, dot);
}

/// Entries of one JSON object, broken between entries where a page's width asks for it.
class Writer {
 public:
  explicit Writer(JsonStyle style) : page_(style == JsonStyle::page) {}

  void add(const Field& field, const Value& value) {
    const std::string section = section_of(field);
    const std::string key = field.path.substr(section.empty() ? 0 : section.size() + 1);
    if (section != section_ || section.empty()) open(section);
    std::string entry = '"' + key + "\": " + to_text(value);
    if (!first_in_section_) separate(entry.size());
    first_in_section_ = false;
    text_ += entry;
  }

  std::string finish() {
    if (!section_.empty()) text_ += '}';
    return text_ + (page_ ? "\n}\n" : "}");
  }

 private:
  void open(const std::string& section) {
    if (!section_.empty()) text_ += '}';
    if (!text_.ends_with('{')) text_ += ',';
    if (page_) text_ += "\n  ";
    if (!page_ && !text_.ends_with('{')) text_ += ' ';
    if (!section.empty()) text_ += '"' + section + "\": {";
    indent_ = text_.size() - text_.rfind('\n') - 1;
    section_ = section;
    first_in_section_ = true;
  }

  void separate(std::size_t next) {
    text_ += ',';
    const std::size_t column = text_.size() - text_.rfind('\n') - 1;
    const bool full = page_ && column + 1 + next + 2 > kPageWidth;
    text_ += full ? '\n' + std::string(indent_, ' ') : " ";
  }

  bool page_;
  std::string text_ = "{";
  std::string section_;
  std::size_t indent_ = 0;
  bool first_in_section_ = true;
};

}  // namespace

std::string to_json(const Recipe& recipe, JsonStyle style) {
  Writer writer(style);
  for (const Field& field : fields())
    if (recipe.backward.exists() || field.decides != Decides::gradients)
      writer.add(field, field.read(recipe));
  return writer.finish();
}

}  // namespace karat::recipe

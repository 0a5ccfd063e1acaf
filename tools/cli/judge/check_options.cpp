// Which part of a candidate to take.
#include "judge/check_options.hpp"

#include "values.hpp"

namespace karat::cli {

golden::Selection parse_selection(std::string_view text) {
  golden::Selection select;
  if (text.empty()) return select;
  const auto places = split(text, ',');
  if (places.size() > 3)
    throw Error(ErrorKind::usage, "--select", "takes at most three numbers",
                "give batch,head,query block; * for all");
  const auto read = [&](std::size_t place, auto& target) {
    if (place >= places.size() || places[place] == "*") return;
    target = parse_integer(places[place], "--select", 0);
  };
  read(0, select.batch);
  read(1, select.head);
  read(2, select.block);
  return select;
}

}  // namespace karat::cli

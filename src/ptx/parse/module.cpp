// A module: header, variables, functions (PTX ISA 9.1, 4.3 and 11).
#include <algorithm>

#include "parse/cursor.hpp"
#include "parse/inline.hpp"

namespace karat::ptx {
namespace {

class ModuleReader {
 public:
  ModuleReader(Cursor& in, Module& module) : in_(in), module_(module) {}

  void read() {
    while (!in_.done()) statement();
    if (module_.version.empty()) in_.fail_at(1, ".version is missing: is this PTX?");
  }

 private:
  void statement() {
    if (in_.take_if(".version")) {
      module_.version = std::string(in_.take().text);
    } else if (in_.take_if(".target")) {
      do {
        module_.target += (module_.target.empty() ? "" : ", ") + in_.require_word("a target");
      } while (in_.take_if(","));
    } else if (in_.take_if(".address_size")) {
      if (in_.require_integer("a size") != 64)
        in_.fail("addresses other than 64 bits are not supported");
    } else if (in_.take_if(".file")) {
      source_file();
    } else if (in_.take_if(".section")) {
      section();
    } else if (in_.take_if(".pragma") || in_.take_if(".alias")) {
      while (!in_.done() && !in_.take_if(";")) in_.take();
    } else if (!in_.take_if(";")) {
      declaration();
    }
  }

  void source_file() {
    SourceFile source{.number = static_cast<std::uint32_t>(in_.require_integer("a file's number"))};
    if (in_.peek().kind != TokenKind::text) in_.fail("a file's name is missing");
    source.path = std::string(in_.take().text);
    while (in_.take_if(",")) in_.require_integer("a number");
    module_.sources.push_back(std::move(source));
  }

  void section() {
    while (!in_.done() && !in_.take_if("{")) in_.take();
    for (int open = 1; open > 0 && !in_.done();) {
      const Token& token = in_.take();
      open += token.text == "{" ? 1 : token.text == "}" ? -1 : 0;
    }
  }

  void declaration() {
    bool external = false;
    for (;;) {
      if (in_.take_if(".extern"))
        external = true;
      else if (!in_.take_if(".visible") && !in_.take_if(".weak") && !in_.take_if(".common"))
        break;
    }
    if (in_.at(".entry") || in_.at(".func")) return function(external);
    static constexpr struct {
      std::string_view name;
      Space space;
    } kSpaces[] = {
        {".shared", Space::shared}, {".const", Space::constant}, {".global", Space::global}};
    for (const auto& row : kSpaces) {
      if (!in_.take_if(row.name)) continue;
      do {
        Variable variable = take_variable(in_, row.space);
        variable.external = external;
        module_.variables.push_back(std::move(variable));
      } while (in_.take_if(","));
      return in_.require(";");
    }
    in_.fail(in_.shown() + " is not supported outside functions");
  }

  void function(bool external) {
    Function each{.line = in_.line()};
    each.entry = in_.take().text == ".entry";
    if (in_.at("(")) parameters(each);  // what a .func returns
    each.name = in_.require_word("a function's name");
    if (in_.at("(")) parameters(each);
    attributes(each);
    if (in_.take_if(";") || external) return remember(std::move(each));
    in_.require("{");
    take_body(in_, each, module_);
    remember(std::move(each));
  }

  void remember(Function each) {
    const auto same = std::ranges::find(module_.functions, each.name, &Function::name);
    if (same == module_.functions.end()) {
      module_.functions.push_back(std::move(each));
    } else if (same->body.empty()) {
      *same = std::move(each);  // declared before it is defined
    } else if (!each.body.empty()) {
      in_.fail_at(each.line, each.name + " is defined twice");
    }
  }

  void parameters(Function& each) {
    in_.require("(");
    while (!in_.at(")")) {
      if (in_.take_if(".reg")) {
        const auto type = take_type(in_);
        if (!type) in_.fail("a type is missing before " + in_.shown());
        each.handed.push_back({in_.require_word("a register's name"), *type});
      } else {
        in_.require(".param");
        each.parameters.push_back(take_variable(in_, Space::param));
      }
      if (!in_.take_if(",")) break;
    }
    in_.require(")");
  }

  void attributes(Function& each) {
    while (in_.peek().kind == TokenKind::directive) {
      const std::string name(in_.take().text);
      std::array<std::uint32_t, 3> numbers{1, 1, 1};
      for (std::size_t i = 0; i < 3 && in_.peek().kind == TokenKind::integer; ++i) {
        numbers[i] = static_cast<std::uint32_t>(in_.take().bits);
        if (!in_.take_if(",")) break;
      }
      if (name == ".reqntid") each.required_block = numbers;
      if (name == ".reqnctapercluster") each.required_cluster = numbers;
      if (name == ".maxntid")
        each.most_threads = std::uint64_t{numbers[0]} * numbers[1] * numbers[2];
      if (name == ".maxnreg") each.most_registers = numbers[0];
      if (name == ".maxclusterrank") each.most_cluster_ctas = numbers[0];
      if (name == ".pragma") in_.take(), in_.require(";");
    }
  }

  Cursor& in_;
  Module& module_;
};

}  // namespace

Module parse(std::string_view source, const std::string& file) {
  const std::vector<Token> tokens = tokenize(source, file);
  Module module{.file = file};
  Cursor in(tokens, module.file);
  ModuleReader(in, module).read();
  for (Function& each : module.functions)
    if (each.entry) inline_calls(module, each);
  return module;
}

}  // namespace karat::ptx

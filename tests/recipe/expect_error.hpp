// Expecting an error by its kind and its one-line message.
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat {

/// Runs `action`; the message must match and be one line.
template <class Action>
void expect_error(ErrorKind kind, const testing::Matcher<std::string>& message, Action action) {
  try {
    action();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(std::string(error.what()), message);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}

}  // namespace karat

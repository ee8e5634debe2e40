// The folders of the checkout and of the build that a test runs in.
//
// Compiled once for all tests: a path in the flags of every test would keep ccache from sharing
// their objects between checkouts.
#pragma once

#include <filesystem>

namespace proad::testing {

std::filesystem::path SourceFolder();
std::filesystem::path BuildFolder();

}  // namespace proad::testing

// SHA-256 digests as 64 lower-case hex digits.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace proad::model {

std::string Sha256Hex(std::span<const std::byte> bytes);
std::string Sha256Hex(std::string_view text);

// Reads the file in pieces. Throws FileError.
std::string Sha256File(const std::filesystem::path& path);

}  // namespace proad::model

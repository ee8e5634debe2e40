// SHA-256 digests as 64 lower-case hex digits.
//
// No LibTorch. Pure functions: safe to call from any thread. A Sha256 belongs to one thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace proad::model {

// Computes the digest of bytes that are added in pieces.
class Sha256 {
 public:
  Sha256();
  void Add(std::span<const std::byte> bytes);
  void Add(std::string_view text);
  // Call at most once, after the last Add.
  std::string Hex();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

std::string Sha256Hex(std::span<const std::byte> bytes);
std::string Sha256Hex(std::string_view text);

// Reads the file in pieces. Throws FileError.
std::string Sha256File(const std::filesystem::path& path);

}  // namespace proad::model

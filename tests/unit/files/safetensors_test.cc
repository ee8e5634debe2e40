#include "model/files/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

#include "model/files/error.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

using ::proad::testing::ReadText;
using ::proad::testing::TempDirectory;
using ::proad::testing::WriteText;
using ::testing::HasSubstr;

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string Text(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// A file with this header and data.
std::string File(std::string_view header, std::string_view data = "") {
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file.append(header).append(data);
}

std::string ErrorOf(std::string_view file) {
  try {
    ParseSafetensors(Bytes(file), "FILE");
  } catch (const CorruptFile& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("FILE"));
    return error.what();
  }
  return "no error";
}

std::map<std::string, TensorView> OneOfEach() {
  static const std::string data = "0123456789abcdef0123456789abcdef";
  std::map<std::string, TensorView> tensors;
  for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
    const DType dtype = static_cast<DType>(i);
    tensors[NameOf(dtype)] = {dtype, {1, 3}, Bytes(data).subspan(i, 3 * SizeOf(dtype))};
  }
  tensors["scalar"] = {DType::kI16, {}, Bytes(data).subspan(0, 2)};
  tensors["nothing"] = {DType::kF32, {0, 7}, {}};
  tensors["\"näme\"\n"] = {DType::kU8, {5}, Bytes(data).subspan(3, 5)};
  return tensors;
}

TEST(Safetensors, RoundTripsEveryType) {
  const TempDirectory directory;
  const auto tensors = OneOfEach();
  WriteSafetensors(directory / "f", tensors, {{"format", "pt"}, {"ünit", "1\""}});
  const TensorFile file = ReadSafetensors(directory / "f");
  EXPECT_EQ(file.source, (directory / "f").string());
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"ünit", "1\""}}));
  ASSERT_EQ(file.tensors.size(), tensors.size());
  for (const auto& [name, view] : tensors) {
    const TensorView& found = file.tensors.at(name);
    EXPECT_EQ(found.dtype, view.dtype) << name;
    EXPECT_EQ(found.shape, view.shape) << name;
    EXPECT_EQ(Text(found.data), Text(view.data)) << name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(found.data.data()) % SizeOf(found.dtype), 0u) << name;
  }
}

TEST(Safetensors, EqualTensorsGiveEqualBytes) {
  const TempDirectory directory;
  WriteSafetensors(directory / "a", OneOfEach(), {{"k", "v"}});
  WriteSafetensors(directory / "b", OneOfEach(), {{"k", "v"}});
  EXPECT_EQ(ReadText(directory / "a"), ReadText(directory / "b"));
}

TEST(Safetensors, ReplacesAFileAtomicallyWhileReadersKeepTheOldOne) {
  const TempDirectory directory;
  WriteSafetensors(directory / "f", {{"a", {DType::kU8, {3}, Bytes("old")}}});
  const TensorFile old = ReadSafetensors(directory / "f");
  // The source of the copy is the file that it replaces.
  WriteSafetensors(directory / "f",
                   {{"b", old.tensors.at("a")}, {"c", {DType::kU8, {3}, Bytes("new")}}});
  EXPECT_EQ(Text(old.tensors.at("a").data), "old");
  EXPECT_EQ(Text(ReadSafetensors(directory / "f").tensors.at("b").data), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(Safetensors, TensorsStayValidAfterTheFileIsRemoved) {
  const TempDirectory directory;
  WriteSafetensors(directory / "f", OneOfEach());
  TensorFile copy;
  {
    const TensorFile file = ReadSafetensors(directory / "f");
    copy = file;
  }
  std::filesystem::remove(directory / "f");
  EXPECT_EQ(Text(copy.tensors.at("U8").data), Text(OneOfEach().at("U8").data));
}

TEST(Safetensors, RoundTripsAFileWithoutTensors) {
  const TempDirectory directory;
  WriteSafetensors(directory / "f", {});
  EXPECT_TRUE(ReadSafetensors(directory / "f").tensors.empty());
}

TEST(Safetensors, AFailedWriteLeavesNoFile) {
  const TempDirectory directory;
  const auto refused = [&](const std::string& name, const TensorView& view) {
    EXPECT_THROW(WriteSafetensors(directory / "f", {{name, view}}), InvalidInput) << name;
  };
  refused("short", {DType::kF32, {2}, Bytes("1234")});
  refused("negative", {DType::kU8, {-1}, {}});
  refused("overflow", {DType::kU8, {int64_t{1} << 62, 4}, {}});
  refused("__metadata__", {DType::kU8, {0}, {}});
  refused("\xff", {DType::kU8, {0}, {}});
  EXPECT_THROW(WriteSafetensors(directory / "f", {}, {{"k", "\xff"}}), InvalidInput);
  EXPECT_THROW(WriteSafetensors(directory / "none" / "f", {}), FileError);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(SafetensorsErrors, NameTheProblem) {
  const auto tensor = [](const std::string& fields) { return "{\"w\":{" + fields + "}}"; };
  const std::string good = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  EXPECT_EQ(ErrorOf(File(tensor(good), "abcd")), "no error");

  const struct {
    std::string file;
    const char* says;
  } cases[] = {
      {"", "has 0 bytes"},
      {"1234567", "has 7 bytes; a safetensors file has at least 8"},
      {std::string(8, '\xff'), "claims a header of 18446744073709551615 bytes"},
      {File("{}").substr(0, 9), "is truncated: its header ends at byte 10, the file at byte 9"},
      {File(""), "has no '{' at byte 8"},
      {File("[]"), "has no '{' at byte 8"},
      {File(" {}"), "has no '{' at byte 8"},
      {File("{"), "(header): not valid JSON at byte 2"},
      {File("{}x"), "not valid JSON at byte 3"},
      {File("{\"\xff\":1}"), "not valid JSON"},
      {File("{\"a\":{},\"a\":{}}"), "the JSON key \"a\" occurs twice"},
      {File(R"({"a":{"shape":[[[]]]}})"), "nested deeper"},
      {File(R"({"a":{"shape":[)" + std::string(400, '1') + "]}}"), "number is too large"},
      {File(R"({"w":1})"), "tensor \"w\" must be an object"},
      {File(tensor(R"("shape":[1],"data_offsets":[0,4])"), "abcd"), "tensor \"w\" has no dtype"},
      {File(tensor(R"("dtype":"F32","data_offsets":[0,4])"), "abcd"), "\"w\" has no array shape"},
      {File(tensor(R"("dtype":"F32","shape":[1])"), "abcd"), "\"w\" has no array data_offsets"},
      {File(tensor(good + R"(,"stride":[1])"), "abcd"), "\"w\" has the unknown key \"stride\""},
      {File(tensor(R"("dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1])"), "a"),
       "has the dtype \"F8_E4M3\"; known are F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL"},
      {File(tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), "abcd"),
       "shape must hold whole numbers from 0 on"},
      {File(tensor(R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])"), "abcd"),
       "shape must hold whole numbers from 0 on"},
      {File(tensor(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0])")),
       "tensor \"w\" has a shape whose product overflows"},
      {File(tensor(R"("dtype":"U8","shape":[0,9223372036854775808],"data_offsets":[0,0])")),
       "tensor \"w\" has a shape whose product overflows"},
      {File(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), "abcd"),
       "tensor \"w\" must have two data_offsets"},
      {File(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), "abcd"),
       "tensor \"w\" lies at bytes 4 to 0 of the data, which has 4"},
      {File(tensor(good), "abc"), "tensor \"w\" lies at bytes 0 to 4 of the data, which has 3"},
      {File(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), "abcd"),
       "tensor \"w\" has 4 bytes; its shape and dtype need 8"},
      {File(tensor(good), "abcde"), "has 5 bytes of data; its tensors cover 4"},
      {File(tensor(R"("dtype":"U8","shape":[1],"data_offsets":[1,2])"), "ab"),
       "tensor \"w\" begins at byte 1 of the data; there is a gap"},
      {File(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
            R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
            "abc"),
       "tensor \"b\" begins at byte 1 of the data; it overlaps"},
      {File(R"({"__metadata__":[]})"), "__metadata__ must be an object"},
      {File(R"({"__metadata__":{"a":1}})"), "__metadata__ \"a\" must be a string"},
  };
  for (const auto& [file, says] : cases) EXPECT_THAT(ErrorOf(file), HasSubstr(says));
}

TEST(SafetensorsErrors, EveryTruncationIsAnError) {
  const TempDirectory directory;
  WriteSafetensors(directory / "f", OneOfEach(), {{"format", "pt"}});
  const std::string file = ReadText(directory / "f");
  for (size_t size = 0; size < file.size(); ++size) {
    // A copy of exactly this size, so that a sanitizer reports reads past its end.
    const std::string part(file, 0, size);
    EXPECT_NE(ErrorOf(part), "no error") << size;
  }
}

TEST(SafetensorsErrors, FlippedBitsOfTheHeaderAreHandled) {
  const TempDirectory directory;
  WriteSafetensors(directory / "f", OneOfEach(), {{"format", "pt"}});
  const std::string file = ReadText(directory / "f");
  size_t accepted = 0;
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    if (ErrorOf(flipped) != "no error") continue;
    ++accepted;  // a bit of the data, or of a name
    for (const auto& [name, view] : ParseSafetensors(Bytes(flipped), "f").tensors) {
      size_t bytes = SizeOf(view.dtype);
      for (const int64_t extent : view.shape) bytes *= static_cast<size_t>(extent);
      ASSERT_EQ(view.data.size(), bytes);
      ASSERT_LE(view.data.data() + view.data.size(), Bytes(flipped).data() + flipped.size());
    }
  }
  EXPECT_GT(accepted, 0u);
}

TEST(ReadTensorFile, RecognisesFormatsByTheirBytes) {
  const TempDirectory directory;
  WriteSafetensors(directory / "weights.pth", {{"a", {DType::kU8, {3}, Bytes("abc")}}});
  EXPECT_EQ(ReadTensorFile(directory / "weights.pth").tensors.size(), 1u);
  for (const char* other : {"", "x", "{\"a\": 1}", "<!DOCTYPE html><html>"}) {
    WriteText(directory / "other", other);
    try {
      ReadTensorFile(directory / "other");
      FAIL() << other;
    } catch (const CorruptFile& error) {
      EXPECT_THAT(error.what(), HasSubstr((directory / "other").string()));
      EXPECT_THAT(error.what(), HasSubstr("is neither a safetensors file nor a PyTorch archive"));
    }
  }
  EXPECT_THROW(ReadTensorFile(directory / "missing"), FileError);
  EXPECT_THROW(ReadTensorFile(directory.path()), FileError);
}

}  // namespace
}  // namespace proad::model

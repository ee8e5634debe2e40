#include "model/files/sha256.h"

#include <gtest/gtest.h>

#include "model/files/error.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

// FIPS 180-2, appendix B.
constexpr char kEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kMillionA[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, MatchesTheExamplesOfTheStandard) {
  EXPECT_EQ(Sha256Hex(""), kEmpty);
  EXPECT_EQ(Sha256Hex("abc"), kAbc);
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')), kMillionA);
}

TEST(Sha256, DigestsAFile) {
  const testing::TempDirectory directory;
  testing::WriteText(directory / "a", std::string(1'000'000, 'a'));
  EXPECT_EQ(Sha256File(directory / "a"), kMillionA);
  std::string large(3 << 20, 'x');  // more than one piece
  large.back() = 'y';
  testing::WriteText(directory / "large", large);
  EXPECT_EQ(Sha256File(directory / "large"), Sha256Hex(large));
  EXPECT_THROW(Sha256File(directory / "missing"), FileError);
  EXPECT_THROW(Sha256File(directory.path()), FileError);
}

}  // namespace
}  // namespace proad::model

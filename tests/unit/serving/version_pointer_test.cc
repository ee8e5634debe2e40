#include "server/serving/version_pointer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

using ::testing::HasSubstr;

const std::string kHash(64, 'a');
const std::string kOther(64, 'b');

TEST(VersionPointer, IsReadAsItWasWritten) {
  const std::vector<VersionPointer> pointers = {
      {},
      {.active = {"1", kHash}, .before = {}},
      {.active = {"1", ""}, .before = {}},
      {.active = {"2", kHash}, .before = {"1", kOther}},
      {.active = {"2", kHash}, .before = {"1", ""}},
      {.active = {"2", kHash}, .before = {}, .activated = false},
      {.active = {std::string(64, 'v'), kHash}, .before = {std::string(64, 'w'), kOther}},
  };
  for (const VersionPointer& pointer : pointers) {
    const auto parsed = VersionPointer::Parse(pointer.ToText(), "pcb/active");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, pointer) << pointer.ToText();
  }
}

TEST(VersionPointer, Format1IsRead) {
  EXPECT_EQ(VersionPointer::Parse("", "")->active.version, "");
  EXPECT_EQ(VersionPointer::Parse("\n", "")->active.version, "");
  EXPECT_EQ(VersionPointer::Parse("3", "")->active, (PointedVersion{"3", ""}));
  const auto parsed = VersionPointer::Parse("3\nbefore 2\n", "");
  EXPECT_EQ(parsed->active, (PointedVersion{"3", ""}));
  EXPECT_EQ(parsed->before, (PointedVersion{"2", ""}));
}

TEST(VersionPointer, RefusesDamagedText) {
  for (const std::string& text :
       {std::string("format 3\nactive 1\n"), "format 2\nactive 1 " + kHash,
        "format 2\nactive 1 " + kHash.substr(1) + "\n", std::string("format 2\nactive\n"),
        std::string("format 2\nactive ..\n"), std::string("format 2\nactive 1\nactive 2\n"),
        std::string("format 2\nactive 1\nstart 2\n"), std::string("format 2\n\n"),
        std::string("format 2\nafter 1\n"), "format 2\nactive 1 " + kHash + " x\n",
        std::string("format 2"), std::string("1\n2\n"), std::string("1\nbefore 2\n3\n"),
        std::string("../1"), std::string("1\0", 2), std::string(100000, '1')}) {
    const absl::Status status = VersionPointer::Parse(text, "pcb/active").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << text.substr(0, 100);
    EXPECT_THAT(std::string(status.message()), HasSubstr("pcb/active"));
  }
}

TEST(VersionPointer, AMissingFileIsNotFound) {
  const testing::TempDirectory root;
  EXPECT_EQ(VersionPointer::Read(root / "active").status().code(), absl::StatusCode::kNotFound);
}

TEST(PointedVersion, AnUnknownHashMatchesEveryHash) {
  const PointedVersion known = {"1", kHash};
  EXPECT_TRUE(known.Matches({"1", kHash}));
  EXPECT_TRUE(known.Matches({"1", ""}));
  EXPECT_FALSE(known.Matches({"1", kOther}));
  EXPECT_FALSE(known.Matches({"2", kHash}));
  EXPECT_TRUE((PointedVersion{"1", ""}).Matches(known));
}

}  // namespace
}  // namespace proad::server

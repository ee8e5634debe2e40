#include "server/util/file_watch.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "server/util/whole_file.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using testing::TempDirectory;
using testing::WriteText;

// As who replaces a file should: whoever opens it sees one or the other.
void Replace(const fs::path& path, const std::string& text) {
  WriteText(path.string() + ".new", text);
  fs::rename(path.string() + ".new", path);
}

TEST(FileWatch, ReportsAReplacementOnce) {
  const TempDirectory root;
  WriteText(root / "a", "one");
  FileWatch watch({root / "a"});
  EXPECT_FALSE(watch.Replaced());
  Replace(root / "a", "two");
  EXPECT_FALSE(watch.Replaced()) << "before it was seen to stay";
  EXPECT_TRUE(watch.Replaced());
  EXPECT_FALSE(watch.Replaced());
}

TEST(FileWatch, ReportsFilesThatBelongTogetherTogether) {
  const TempDirectory root;
  WriteText(root / "certificate", "one");
  WriteText(root / "key", "one");
  FileWatch watch({root / "certificate", root / "key"});
  Replace(root / "certificate", "two");
  EXPECT_FALSE(watch.Replaced());
  Replace(root / "key", "two");
  EXPECT_FALSE(watch.Replaced());
  EXPECT_TRUE(watch.Replaced());
}

TEST(FileWatch, ReportsAChangedLink) {
  const TempDirectory root;  // as Kubernetes mounts a secret
  for (const char* version : {"one", "two"}) {
    fs::create_directory(root / version);
    WriteText(root / version / "tokens", "same");
  }
  fs::create_symlink("one", root / "data");
  fs::create_symlink("data/tokens", root / "tokens");
  FileWatch watch({root / "tokens"});
  fs::create_symlink("two", root / "data.new");
  fs::rename(root / "data.new", root / "data");
  EXPECT_FALSE(watch.Replaced());
  EXPECT_TRUE(watch.Replaced());
}

TEST(FileWatch, ReportsRemovedAndAddedFiles) {
  const TempDirectory root;
  WriteText(root / "a", "one");
  FileWatch watch({root / "a"});
  fs::remove(root / "a");
  EXPECT_FALSE(watch.Replaced());
  EXPECT_TRUE(watch.Replaced());
  WriteText(root / "a", "one");
  EXPECT_FALSE(watch.Replaced());
  EXPECT_TRUE(watch.Replaced());
}

TEST(ReadWholeFile, ReadsUpToTheLimit) {
  const TempDirectory root;
  WriteText(root / "a", "12345");
  EXPECT_EQ(ReadWholeFile(root / "a", 5).value(), "12345");
  EXPECT_EQ(ReadWholeFile(root / "a", 4).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ReadWholeFile, NamesTheUnreadableFile) {
  const TempDirectory root;
  for (const fs::path& path : {root / "none", root.path()}) {
    const absl::Status status = ReadWholeFile(path, 5).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_NE(status.message().find(path.string()), absl::string_view::npos) << status;
  }
  ASSERT_EQ(mkfifo((root / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(ReadWholeFile(root / "pipe", 5).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace proad::server

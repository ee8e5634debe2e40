#include "model/spec/version_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <stdexcept>
#include <thread>

#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/spec/preset.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::proad::testing::ReadText;
using ::proad::testing::TempDirectory;
using ::proad::testing::WriteText;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Manifest NewManifest() {
  Manifest manifest;
  manifest.name = "bolts";
  manifest.version = "1";
  manifest.created = "2026-11-23T15:44:00Z";
  manifest.config = PresetConfig("proad-tiny");
  manifest.preprocessing = PresetPreprocessing("proad-tiny");
  manifest.encoder = {"encoder.pth", std::string(64, 'b'), "official"};
  return manifest;
}

void FillOneFile(const fs::path& staging) { WriteText(staging / "model.safetensors", "weights"); }

// All names in the tree, including hidden ones.
std::vector<std::string> Tree(const fs::path& root) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    names.push_back(entry.path().lexically_relative(root));
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(WriteVersion, PublishesFilesDigestsAndManifest) {
  const TempDirectory store;
  const fs::path directory = store / "bolts" / "1";
  const Manifest written = WriteVersion(directory, NewManifest(), [&](const fs::path& staging) {
    EXPECT_EQ(staging.parent_path(), directory.parent_path());
    EXPECT_TRUE(fs::is_empty(staging));
    EXPECT_FALSE(fs::exists(directory));
    FillOneFile(staging);
    WriteText(staging / "probe.png", "");
  });
  EXPECT_THAT(Tree(store.path()),
              ElementsAre("bolts", "bolts/.used-1", "bolts/1", "bolts/1/manifest.json",
                          "bolts/1/model.safetensors", "bolts/1/probe.png"));
  EXPECT_EQ(written.files.at("model.safetensors").sha256, Sha256Hex("weights"));
  EXPECT_EQ(written.files.at("model.safetensors").bytes, 7);
  EXPECT_EQ(written.files.size(), 2u);
  EXPECT_EQ(ReadManifest(directory), written);
  EXPECT_EQ(written.hash, Sha256File(directory / "manifest.json"));
  EXPECT_NO_THROW(VerifyFiles(directory, written));
}

TEST(WriteVersion, NeverChangesAPublishedVersion) {
  const TempDirectory store;
  const fs::path directory = store / "bolts" / "1";
  WriteVersion(directory, NewManifest(), FillOneFile);
  const std::string before = ReadText(directory / "manifest.json");
  const auto tree = Tree(store.path());
  const auto refused = [&](const fs::path& path, const std::function<void(const fs::path&)>& fill) {
    try {
      WriteVersion(path, NewManifest(), fill);
      ADD_FAILURE();
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.field(), "version");
      EXPECT_EQ(error.reason(), "ALREADY_EXISTS");
      EXPECT_THAT(error.what(), HasSubstr(directory.string() + " already exists"));
    }
  };
  bool filled = false;
  refused(directory, [&](const fs::path&) { filled = true; });
  refused(directory / "", [&](const fs::path&) { filled = true; });
  EXPECT_FALSE(filled) << "fill must not run for a version that is refused";
  EXPECT_EQ(ReadText(directory / "manifest.json"), before);
  EXPECT_EQ(Tree(store.path()), tree);
}

TEST(WriteVersion, DoesNotReplaceAVersionThatAppearsMeanwhile) {
  for (const bool empty : {true, false}) {
    const TempDirectory store;
    const fs::path directory = store / "1";
    EXPECT_THROW(WriteVersion(directory, NewManifest(),
                              [&](const fs::path& staging) {
                                FillOneFile(staging);
                                fs::create_directory(directory);
                                if (!empty) WriteText(directory / "other", "x");
                              }),
                 InvalidInput);
    EXPECT_EQ(fs::is_empty(directory), empty);
    EXPECT_THAT(ListNames(store.path()), ElementsAre("1"));
    EXPECT_EQ(RemoveStale(store.path()), 0);
  }
}

TEST(WriteVersion, OfManyWritersOneWins) {
  const TempDirectory store;
  const fs::path directory = store / "bolts" / "1";
  std::atomic<int> won = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&, i] {
      try {
        WriteVersion(directory, NewManifest(), [&](const fs::path& staging) {
          WriteText(staging / "who", std::to_string(i));
        });
        ++won;
      } catch (const InvalidInput&) {
        ++refused;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(refused, 7);
  EXPECT_THAT(Tree(store.path()), ElementsAre("bolts", "bolts/.used-1", "bolts/1",
                                              "bolts/1/manifest.json", "bolts/1/who"));
  EXPECT_NO_THROW(VerifyFiles(directory, ReadManifest(directory)));
}

// A step that fails, and its exception.
struct Failure {
  const char* name;
  std::function<void(const fs::path& staging)> fill;
  std::function<void(Manifest&)> change = [](Manifest&) {};
};

class FailureTest : public ::testing::TestWithParam<Failure> {};

TEST_P(FailureTest, LeavesNothingBehind) {
  const TempDirectory store;
  for (const bool model_exists : {false, true}) {
    if (model_exists) fs::create_directory(store / "bolts");
    Manifest manifest = NewManifest();
    GetParam().change(manifest);
    EXPECT_ANY_THROW(WriteVersion(store / "bolts" / "1", manifest, GetParam().fill));
    EXPECT_EQ(Tree(store.path()),
              model_exists ? std::vector<std::string>{"bolts"} : std::vector<std::string>{});
  }
}

INSTANTIATE_TEST_SUITE_P(
    Steps, FailureTest,
    ::testing::Values(
        Failure{"fill throws",
                [](const fs::path& staging) {
                  FillOneFile(staging);
                  throw std::runtime_error("training stopped");
                }},
        Failure{"a file of the file system",
                [](const fs::path& staging) { fs::create_directory(staging / "sub"); }},
        Failure{
            "a link",
            [](const fs::path& staging) { fs::create_symlink("/etc/passwd", staging / "link"); }},
        Failure{"a pipe",
                [](const fs::path& staging) { mkfifo((staging / "pipe").c_str(), 0600); }},
        Failure{"a manifest of its own",
                [](const fs::path& staging) { WriteText(staging / "manifest.json", "{}"); }},
        Failure{"a hidden file",
                [](const fs::path& staging) { WriteText(staging / ".hidden", ""); }},
        Failure{"an impossible manifest", FillOneFile,
                [](Manifest& manifest) { manifest.config.groups = 3; }},
        Failure{"text that is not UTF-8", FillOneFile,
                [](Manifest& manifest) { manifest.code_version = "\xff"; }},
        Failure{"the staging directory goes away",
                [](const fs::path& staging) { fs::remove_all(staging); }}),
    [](const auto& failure) {
      std::string name = failure.param.name;
      std::erase_if(name, [](char c) { return !isalnum(c); });
      return name;
    });

TEST(WriteVersion, PassesOnExceptionsOfFill) {
  const TempDirectory store;
  EXPECT_THROW(WriteVersion(store / "1", NewManifest(),
                            [](const fs::path&) { throw std::domain_error("loss is not finite"); }),
               std::domain_error);
}

TEST(WriteVersion, AMissingStoreIsAFileError) {
  const TempDirectory store;
  EXPECT_THROW(WriteVersion(store / "no" / "bolts" / "1", NewManifest(), FillOneFile), FileError);
}

// Runs in its own process with a limit of the file size, which acts like a full disk.
int ErrorWithFileLimit(rlim_t bytes, const fs::path& directory) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {bytes, bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    int code = 0;
    try {
      WriteVersion(directory, NewManifest(), [](const fs::path& staging) {
        AtomicFile file(staging / "model.safetensors");
        file.Write(std::string(1000, 'x'));
        file.Commit();
      });
    } catch (const FileError& error) {
      code = error.error_number();
    } catch (...) {
      code = 255;
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(WriteVersion, AFullDiskLeavesNothingBehind) {
  // The disk is full in the weights (1000 bytes), then in the manifest, which is larger.
  for (const rlim_t bytes : {0, 1, 999, 1000, 1200}) {
    const TempDirectory store;
    EXPECT_EQ(ErrorWithFileLimit(bytes, store / "bolts" / "1"), EFBIG) << bytes;
    EXPECT_THAT(Tree(store.path()), IsEmpty()) << bytes;
  }
  const TempDirectory store;
  EXPECT_EQ(ErrorWithFileLimit(1 << 20, store / "bolts" / "1"), 0);
  EXPECT_THAT(ListNames(store / "bolts"), ElementsAre("1"));
}

// A process that dies inside `fill`.
void Crash(const fs::path& directory) {
  const pid_t child = fork();
  if (child == 0) {
    WriteVersion(directory, NewManifest(), [](const fs::path& staging) {
      FillOneFile(staging);
      raise(SIGKILL);
    });
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(RemoveStale, RemovesOnlyWhatACrashLeftBehind) {
  const TempDirectory store;
  Crash(store / "1");
  EXPECT_EQ(Tree(store.path()).size(), 2u);  // the staging directory and its file
  EXPECT_THAT(ListNames(store.path()), IsEmpty());
  WriteVersion(store / "1", NewManifest(), [&](const fs::path& staging) {
    FillOneFile(staging);
    EXPECT_EQ(RemoveStale(store.path()), 1)
        << "the staging directory of a running writer must stay";
    EXPECT_TRUE(fs::exists(staging / "model.safetensors"));
  });
  EXPECT_EQ(RemoveStale(store.path()), 0);
  EXPECT_THAT(Tree(store.path()),
              ElementsAre(".used-1", "1", "1/manifest.json", "1/model.safetensors"));
  EXPECT_EQ(RemoveStale(store / "missing"), 0);
}

// Publishes the next version.
std::string PublishNext(const fs::path& folder) {
  Manifest manifest = NewManifest();
  manifest.version = NextVersion(folder);
  WriteVersion(folder / manifest.version, manifest, FillOneFile);
  return manifest.version;
}

TEST(NextVersion, NeverReturnsANumberTwice) {
  const TempDirectory store;
  const fs::path folder = store / "bolts";
  EXPECT_EQ(NextVersion(folder), "1");
  EXPECT_EQ(PublishNext(folder), "1");
  EXPECT_EQ(PublishNext(folder), "2");
  RemoveVersion(folder / "2");
  EXPECT_EQ(PublishNext(folder), "3");
  RemoveVersion(folder / "3");
  RemoveVersion(folder / "1");
  EXPECT_EQ(NextVersion(folder), "4") << "the model has no version any more";
  EXPECT_THAT(Tree(folder), ElementsAre(".used-3"));
}

TEST(NextVersion, CountsVersionsThatWereCopiedOrRemovedByHand) {
  const TempDirectory store;
  for (const char* name : {"7", "2026-03", "nine"}) fs::create_directory(store / name);
  EXPECT_EQ(NextVersion(store.path()), "8");
  RemoveVersion(store / "7");
  EXPECT_EQ(NextVersion(store.path()), "8") << "a copied version has no marker before";
  EXPECT_EQ(PublishNext(store.path()), "8");
  fs::remove_all(store / "8");
  EXPECT_EQ(NextVersion(store.path()), "9");
}

TEST(WriteVersion, RefusesAUsedNumber) {
  const TempDirectory store;
  PublishNext(store.path());
  PublishNext(store.path());
  RemoveVersion(store / "2");
  for (const char* version : {"2", "02"}) {
    try {
      Manifest manifest = NewManifest();
      manifest.version = version;
      WriteVersion(store / version, manifest, [](const fs::path&) { ADD_FAILURE(); });
      ADD_FAILURE() << version;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), "ALREADY_EXISTS");
      EXPECT_THAT(error.what(), HasSubstr("version numbers up to 2 have been used"));
    }
  }
  Manifest manifest = NewManifest();
  manifest.version = "2-a";
  EXPECT_NO_THROW(WriteVersion(store / "2-a", manifest, FillOneFile)) << "it is not a number";
}

TEST(WriteVersion, RefusesANumberThatWasUsedMeanwhile) {
  const TempDirectory store;
  Manifest manifest = NewManifest();
  EXPECT_THROW(WriteVersion(store / "1", manifest,
                            [&](const fs::path& staging) {
                              FillOneFile(staging);
                              PublishNext(store.path());
                              RemoveVersion(store / "1");
                            }),
               InvalidInput);
  EXPECT_THAT(Tree(store.path()), ElementsAre(".used-1"));
}

TEST(WriteVersion, AFailedPublicationFreesItsNumber) {
  const TempDirectory store;
  EXPECT_THROW(WriteVersion(store / "bolts" / "1", NewManifest(),
                            [](const fs::path&) { throw std::runtime_error("stopped"); }),
               std::runtime_error);
  EXPECT_EQ(NextVersion(store / "bolts"), "1");
}

TEST(ListNames, ReturnsValidDirectoriesSorted) {
  const TempDirectory store;
  for (const char* name : {"b", "a", ".staging-0", "Upper", "lost+found"}) {
    fs::create_directory(store / name);
  }
  WriteText(store / "file", "");
  EXPECT_THAT(ListNames(store.path()), ElementsAre("a", "b"));
  EXPECT_THAT(ListNames(store / "missing"), IsEmpty());
  EXPECT_THROW(ListNames(store / "file"), FileError);
}

TEST(AtomicFile, AppearsOnlyAfterCommit) {
  const TempDirectory directory;
  WriteText(directory / "f", "before");
  {
    AtomicFile file(directory / "f");
    file.Write("after");
    EXPECT_EQ(ReadText(directory / "f"), "before");
  }
  EXPECT_EQ(ReadText(directory / "f"), "before");
  {
    AtomicFile file(directory / "f");
    file.Write("af");
    file.Write("ter");
    file.Commit();
  }
  EXPECT_EQ(ReadText(directory / "f"), "after");
  EXPECT_THAT(Tree(directory.path()), ElementsAre("f"));
}

}  // namespace
}  // namespace proad::model

#include "model/spec/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/spec/preset.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

using nlohmann::json;
using ::proad::testing::TempDirectory;
using ::proad::testing::WriteText;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Manifest Whole() {
  Manifest manifest;
  manifest.name = "bolts";
  manifest.version = "2026-11-23.1";
  manifest.created = "2026-11-23T15:44:00Z";
  manifest.code_version = "0.1.0";
  manifest.config = PresetConfig("proad-tiny");
  manifest.config.encoder.position_resize = PositionResize::kLineage;
  manifest.config.prototype_constraint = false;
  manifest.preprocessing = PresetPreprocessing("proad-tiny");
  manifest.encoder = {"encoder.pth", std::string(64, 'b'), "timm"};
  manifest.map_range = {0.01f, 0.7f};
  manifest.calibration = Calibration{0.1234567890123456789, 0.01, 200};
  manifest.categories["Größe \"L\""] = {1e-300, 0, 0};
  manifest.metrics = {{"image_auroc", 1.0 / 3}, {"loss", -0.0}};
  manifest.data_fingerprint = "f";
  manifest.parent_job = "jobs/1";
  manifest.probe = Probe{"probe.png", 0.1};
  manifest.files = {{"model.safetensors", {std::string(64, 'a'), 123}},
                    {"probe.png", {Sha256Hex("x"), 1}}};
  return manifest;
}

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const CorruptFile& error) {
    return error.what();
  }
  return "no error";
}

TEST(Manifest, RoundTripsExactly) {
  Manifest manifest = Whole();
  const std::string text = ToJson(manifest);
  manifest.hash = Sha256Hex(text);
  EXPECT_EQ(ParseManifest(text, "m"), manifest);
  EXPECT_EQ(ToJson(ParseManifest(text, "m")), text);
}

TEST(Manifest, RoundTripsWithoutOptionalParts) {
  Manifest manifest = Whole();
  manifest.calibration.reset();
  manifest.probe.reset();
  manifest.categories.clear();
  manifest.metrics.clear();
  manifest.files.clear();
  const std::string text = ToJson(manifest);
  manifest.hash = Sha256Hex(text);
  EXPECT_EQ(ParseManifest(text, "m"), manifest);
}

TEST(Manifest, OmitsTheKindOfAVisionTransformer) {
  Manifest manifest = Whole();
  EXPECT_THAT(ToJson(manifest), Not(HasSubstr("\"kind\"")))
      << "programs from before the patch pyramid must read it";
  manifest.config = PresetConfig("proad-pyramid");
  manifest.preprocessing = PresetPreprocessing("proad-pyramid");
  manifest.encoder.dialect = "pyramid";
  const std::string text = ToJson(manifest);
  EXPECT_THAT(text, HasSubstr("\"kind\": \"patch_pyramid\""));
  manifest.hash = Sha256Hex(text);
  EXPECT_EQ(ParseManifest(text, "m"), manifest);
}

TEST(Manifest, HoldsTheStagesAndTheDistance) {
  Manifest manifest = Whole();
  EXPECT_THAT(ToJson(manifest), Not(HasSubstr("distance"))) << "older programs must read it";
  manifest.config = PresetConfig("proad-combined");
  manifest.config.encoder.group_levels = {1, 0.5, 2};
  manifest.config.encoder.group_centering = {0, 0.5, 1};
  manifest.config.distance = {DistanceCombination::kLargest, {0.1, 0.25, 1.5}};
  manifest.preprocessing = PresetPreprocessing("proad-combined");
  manifest.encoder.dialect = "combined";
  const std::string text = ToJson(manifest);
  EXPECT_THAT(text, HasSubstr("\"combination\": \"largest\""));
  manifest.hash = Sha256Hex(text);
  EXPECT_EQ(ParseManifest(text, "m"), manifest);
}

TEST(Manifest, IsIndentedAndOrdered) {
  const std::string text = ToJson(Whole());
  EXPECT_THAT(text, HasSubstr("{\n  \"format\": 1,\n  \"name\": \"bolts\",\n"));
  EXPECT_THAT(text, HasSubstr("0.485"));
  EXPECT_THAT(text, Not(HasSubstr("0.4850000")));
  EXPECT_EQ(text.back(), '\n');
}

TEST(Manifest, RefusesToWriteTextThatIsNotUtf8) {
  Manifest manifest = Whole();
  manifest.parent_job = "\xff";
  EXPECT_THROW(ToJson(manifest), InvalidInput);
}

// A change of a valid manifest's JSON, and words of the error.
struct Damage {
  const char* says;
  std::function<void(json&)> change;
};

class DamageTest : public ::testing::TestWithParam<Damage> {};

TEST_P(DamageTest, IsNamedByItsPath) {
  json object = json::parse(ToJson(Whole()));
  GetParam().change(object);
  EXPECT_THAT(ErrorOf([&] { ParseManifest(object.dump(), "DIR/manifest.json"); }),
              AllOf(HasSubstr("DIR/manifest.json"), HasSubstr(GetParam().says)));
}

#define CHANGE(statement) [](json& m) { statement; }

INSTANTIATE_TEST_SUITE_P(
    Keys, DamageTest,
    ::testing::Values(
        Damage{"format is 2; this program reads format 1", CHANGE(m["format"] = 2)},
        Damage{"format is missing", CHANGE(m.erase("format"))},
        Damage{"name is missing", CHANGE(m.erase("name"))},
        Damage{"colour is not a key that this program knows", CHANGE(m["colour"] = 1)},
        Damage{"config.encoder.colour is not a key", CHANGE(m["config"]["encoder"]["colour"] = 1)},
        Damage{"config.encoder.width is missing", CHANGE(m["config"]["encoder"].erase("width"))},
        Damage{"config.groups must be a whole number", CHANGE(m["config"]["groups"] = 2.5)},
        Damage{"config.groups is out of range", CHANGE(m["config"]["groups"] = 5000000000)},
        Damage{"config.groups is 3; it must divide", CHANGE(m["config"]["groups"] = 3)},
        Damage{"config.dynamic_decoder must be true or false",
               CHANGE(m["config"]["dynamic_decoder"] = 1)},
        Damage{"position_resize \"cubic\" is unknown",
               CHANGE(m["config"]["encoder"]["position_resize"] = "cubic")},
        Damage{"kind \"forest\" is unknown", CHANGE(m["config"]["encoder"]["kind"] = "forest")},
        Damage{"config.encoder.taps[2] must be a whole number",
               CHANGE(m["config"]["encoder"]["taps"][2] = "4")},
        Damage{"config.preset is \"../base\"", CHANGE(m["config"]["preset"] = "../base")},
        Damage{"preprocessing.mean must be an array of 3 numbers",
               CHANGE(m["preprocessing"]["mean"].push_back(1))},
        Damage{"preprocessing.std[0] must be a finite number above 0",
               CHANGE(m["preprocessing"]["std"][0] = -1)},
        Damage{"preprocessing.std[0] is out of range",
               CHANGE(m["preprocessing"]["std"][0] = 1e300)},
        Damage{"preprocessing.crop_height is 266; it must be config.input_height, 280",
               CHANGE(m["preprocessing"]["crop_height"] = 266)}));

INSTANTIATE_TEST_SUITE_P(
    Values, DamageTest,
    ::testing::Values(
        Damage{"name is \"Bolts\"", CHANGE(m["name"] = "Bolts")},
        Damage{"version is \"../1\"", CHANGE(m["version"] = "../1")},
        Damage{"created is \"yesterday\"", CHANGE(m["created"] = "yesterday")},
        Damage{"created is \"2026-11-23T15:44:00+01:00\"",
               CHANGE(m["created"] = "2026-11-23T15:44:00+01:00")},
        Damage{"calibration.threshold must be a finite number above 0",
               CHANGE(m["calibration"]["threshold"] = 0)},
        Damage{"calibration.false_reject_budget must be a share",
               CHANGE(m["calibration"]["false_reject_budget"] = 1.5)},
        Damage{"calibration.images must not be negative", CHANGE(m["calibration"]["images"] = -1)},
        Damage{"categories.pcb.threshold is missing",
               CHANGE(m["categories"]["pcb"] = json::object())},
        Damage{"categories.pcb must be an object", CHANGE(m["categories"]["pcb"] = 1)},
        Damage{"categories has the name \"\", which is empty",
               CHANGE(m["categories"][""] = m["calibration"])},
        Damage{"categories has the name \"a\\nb\", which has a control character",
               CHANGE(m["categories"]["a\nb"] = m["calibration"])},
        Damage{"which has 129 bytes; at most 128 are accepted",
               CHANGE(m["categories"][std::string(129, 'a')] = m["calibration"])},
        Damage{"metrics.loss must be a number", CHANGE(m["metrics"]["loss"] = "low")},
        Damage{"parent_job has a control character: \"a\\nb\"", CHANGE(m["parent_job"] = "a\nb")},
        Damage{"map_range must be two finite numbers", CHANGE(m["map_range"]["low"] = 0.9)},
        Damage{"encoder.sha256 must be 64 lower-case hex digits",
               CHANGE(m["encoder"]["sha256"] = std::string(64, 'A'))},
        Damage{"encoder.dialect is \"onnx\"", CHANGE(m["encoder"]["dialect"] = "onnx")},
        Damage{"encoder.source must be a plain file name",
               CHANGE(m["encoder"]["source"] = "/etc/passwd")},
        Damage{"files must be a plain file name, without '/' or a leading '.', not \"../x\"",
               CHANGE(m["files"]["../x"] = m["files"]["probe.png"])},
        Damage{"files.manifest.json is the manifest",
               CHANGE(m["files"]["manifest.json"] = m["files"]["probe.png"])},
        Damage{"files.probe.png.bytes must not be negative",
               CHANGE(m["files"]["probe.png"]["bytes"] = -1)},
        Damage{"probe.file is \"other.png\", which is not among",
               CHANGE(m["probe"]["file"] = "other.png")},
        Damage{"probe.score must be a number", CHANGE(m["probe"]["score"] = nullptr)}));

TEST(Manifest, NamesTheByteOfInvalidJson) {
  const std::string text = ToJson(Whole());
  for (size_t size = 0; size + 1 < text.size(); ++size) {
    EXPECT_THROW(ParseManifest(text.substr(0, size), "m"), CorruptFile) << size;
  }
  EXPECT_THAT(ErrorOf([&] { ParseManifest(text + "}", "m"); }),
              HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(ErrorOf([] { ParseManifest("[]", "m"); }), HasSubstr("must be an object"));
  EXPECT_THAT(ErrorOf([] { ParseManifest(R"({"format": 1e999})", "m"); }), HasSubstr("too large"));
}

TEST(Manifest, RefusesARepeatedKey) {
  std::string text = ToJson(Whole());
  text.replace(text.find("\"format\""), 8, "\"name\": \"x\", \"format\"");
  EXPECT_THAT(ErrorOf([&] { ParseManifest(text, "m"); }),
              HasSubstr("\"name\" occurs twice in one object"));
}

TEST(Manifest, LimitsNesting) {
  EXPECT_THAT(ErrorOf([] { ParseManifest(std::string(1'000'000, '['), "m"); }),
              HasSubstr("nested deeper than"));
}

TEST(Manifest, RefusesToWriteThresholdsThatAreNotFinite) {
  Manifest manifest = Whole();
  manifest.categories["pcb"] = {std::numeric_limits<double>::quiet_NaN(), 0, 0};
  try {
    Validate(manifest);
    FAIL();
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "categories.pcb.threshold");
  }
}

TEST(ValidName, IsSafeAsADirectory) {
  for (const char* good : {"a", "0", "proad-tiny", "1.2.3", "a_b", "2026-11-23t10.00"}) {
    EXPECT_TRUE(IsValidName(good)) << good;
  }
  EXPECT_TRUE(IsValidName(std::string(64, 'a')));
  for (const char* bad : {"", ".", "..", ".staging-1", "-a", "_a", "A", "a/b", "a b", "ä", "a\n"}) {
    EXPECT_FALSE(IsValidName(bad)) << bad;
  }
  EXPECT_FALSE(IsValidName(std::string(65, 'a')));
  EXPECT_FALSE(IsValidName(std::string_view("a\0b", 3)));
}

TEST(VerifyFiles, NamesAFileThatDoesNotMatch) {
  const TempDirectory directory;
  Manifest manifest = Whole();
  manifest.files = {{"a", {Sha256Hex("text"), 4}}};
  const auto verify = [&] { VerifyFiles(directory.path(), manifest); };
  EXPECT_THAT(ErrorOf(verify),
              AllOf(HasSubstr((directory / "a").string()), HasSubstr("cannot be read")));
  WriteText(directory / "a", "text");
  EXPECT_EQ(ErrorOf(verify), "no error");
  WriteText(directory / "a", "texts");
  EXPECT_THAT(ErrorOf(verify), HasSubstr("has 5 bytes; the manifest says 4"));
  WriteText(directory / "a", "tex_");
  EXPECT_THAT(ErrorOf(verify), HasSubstr("the manifest says " + Sha256Hex("text")));
}

TEST(ReadManifest, AMissingFileIsAFileError) {
  const TempDirectory directory;
  EXPECT_THROW(ReadManifest(directory.path()), FileError);
  WriteText(directory / "manifest.json", "");
  EXPECT_THROW(ReadManifest(directory.path()), CorruptFile);
  WriteText(directory / "manifest.json", ToJson(Whole()));
  EXPECT_EQ(ReadManifest(directory.path()).hash, Sha256File(directory / "manifest.json"));
}

}  // namespace
}  // namespace proad::model

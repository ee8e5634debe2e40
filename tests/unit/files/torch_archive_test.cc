#include "model/files/torch_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "model/files/error.h"
#include "model/files/tensor_file.h"
#include "tests/support/temp_directory.h"
#include "tests/support/torch_archive_writer.h"

namespace proad::model {
namespace {

using ::proad::testing::PickledTensorSpec;
using ::proad::testing::PickleInt;
using ::proad::testing::PickleStateDict;
using ::proad::testing::PickleTensor;
using ::proad::testing::PickleText;
using ::proad::testing::TempDirectory;
using ::proad::testing::WriteText;
using ::proad::testing::ZipWriter;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string Floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

std::vector<float> FloatsOf(const TensorView& view) {
  std::vector<float> values(view.data.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), view.data.data(), view.data.size());
  return values;
}

const std::string kSix = Floats({0, 1, 2, 3, 4, 5});

std::string Archive(const std::string& pickle, const std::string& storage = kSix) {
  return ZipWriter()
      .Add("a/data.pkl", pickle)
      .Add("a/byteorder", "little")
      .Add("a/data/0", storage)
      .Finish();
}

TensorFile Parse(std::string_view file) { return ParseTorchArchive(Bytes(file), "FILE"); }

std::string ErrorOf(std::string_view file) {
  try {
    Parse(file);
  } catch (const CorruptFile& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("FILE"));
    return error.what();
  }
  return "no error";
}

// A pickle with these instructions.
std::string Program(const std::string& instructions) { return "\x80\x02" + instructions; }

std::string ErrorOfPickle(const std::string& instructions) {
  return ErrorOf(Archive(Program(instructions)));
}

std::string ErrorOfTensor(const PickledTensorSpec& spec) {
  return ErrorOf(Archive(PickleStateDict("w", spec)));
}

TEST(TorchArchive, ReadsAStateDict) {
  const std::string archive = Archive(PickleStateDict("w", {}));
  const TensorFile file = Parse(archive);
  ASSERT_EQ(file.tensors.size(), 1u);
  const TensorView& view = file.tensors.at("w");
  EXPECT_EQ(view.dtype, DType::kF32);
  EXPECT_THAT(view.shape, ElementsAre(2, 3));
  EXPECT_THAT(FloatsOf(view), ElementsAre(0, 1, 2, 3, 4, 5));
  // Row-major tensors are views, not copies.
  EXPECT_GE(view.data.data(), Bytes(archive).data());
  EXPECT_LT(view.data.data(), Bytes(archive).data() + archive.size());
}

TEST(TorchArchive, ReadsFromAFile) {
  const TempDirectory directory;
  WriteText(directory / "w.bin", Archive(PickleStateDict("w", {})));
  TensorFile copy;
  {
    const TensorFile file = ReadTensorFile(directory / "w.bin");
    copy = file;
  }
  EXPECT_THAT(FloatsOf(copy.tensors.at("w")), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(TorchArchive, CopiesStridedViewsToRowMajorOrder) {
  const auto read = [](const PickledTensorSpec& spec) {
    const std::string archive = Archive(PickleStateDict("w", spec));
    const TensorFile file = Parse(archive);
    return FloatsOf(file.tensors.at("w"));
  };
  EXPECT_THAT(read({.shape = {3, 2}, .strides = {1, 3}}), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(read({.offset = 1, .shape = {2}, .strides = {3}}), ElementsAre(1, 4));
  EXPECT_THAT(read({.offset = 2, .shape = {2, 1, 2}, .strides = {2, 77, 1}}),
              ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(read({.shape = {}, .strides = {}}), ElementsAre(0));
  EXPECT_THAT(read({.offset = 6, .shape = {0, 3}, .strides = {3, 1}}), ElementsAre());
}

// A dict with the items `name`: {...}, under `names` in turn, each beside a number.
std::string Nested(const std::vector<std::string>& names) {
  std::string pickle;
  for (const std::string& name : names) {
    pickle += "}(" + PickleText("epoch") + PickleInt(3) + PickleText(name);
  }
  pickle += "}" + PickleText("w") + PickleTensor({}) + "s";
  for (size_t i = 0; i < names.size(); ++i) pickle += "u";
  return pickle + ".";
}

TEST(TorchArchive, ReadsADictUnderKnownKeys) {
  for (const std::vector<std::string>& names :
       std::vector<std::vector<std::string>>{{"teacher"},
                                             {"model"},
                                             {"state_dict"},
                                             {"model_state_dict"},
                                             {"teacher", "backbone"},
                                             {"model", "state_dict"},
                                             {"model", "teacher", "module", "backbone"}}) {
    const std::string archive = Archive(Program(Nested(names)));
    EXPECT_TRUE(Parse(archive).tensors.contains("w")) << names.front();
  }
  EXPECT_THAT(ErrorOfPickle(Nested({"optimizer"})),
              AllOf(HasSubstr("neither a dict of name to tensor nor holds one under \"teacher\""),
                    HasSubstr("its keys are \"epoch\" \"optimizer\"")));
  EXPECT_NE(ErrorOfPickle(Nested({"model", "model", "model", "model", "model"})), "no error");
  EXPECT_THAT(ErrorOfPickle("]."), HasSubstr("does not hold a dict of tensors"));
  EXPECT_THAT(ErrorOfPickle("}."), HasSubstr("its keys are none"));
}

TEST(TorchArchive, ReadsADictThatIsAloneInOthers) {
  const std::string archive = Archive(
      Program("}" + PickleText("anything") + "}" + PickleText("w") + PickleTensor({}) + "ss."));
  EXPECT_TRUE(Parse(archive).tensors.contains("w"));
}

TEST(TorchArchive, ReadsOldArchivesWithoutByteOrder) {
  const std::string pickle = PickleStateDict("w", {});
  EXPECT_EQ(ErrorOf(ZipWriter().Add("a/data.pkl", pickle).Add("a/data/0", kSix).Finish()),
            "no error");
  EXPECT_THAT(ErrorOf(ZipWriter()
                          .Add("a/data.pkl", pickle)
                          .Add("a/byteorder", "big")
                          .Add("a/data/0", kSix)
                          .Finish()),
              HasSubstr("has the byte order \"big\"; only \"little\" can be read"));
}

TEST(TorchArchive, ReadsZip64AndComments) {
  EXPECT_EQ(ErrorOf(ZipWriter()
                        .UseZip64()
                        .Add("a/data.pkl", PickleStateDict("w", {}))
                        .Add("a/data/0", kSix)
                        .Finish("PK\x05\x06 is not the end")),
            "no error");
}

TEST(TorchArchive, RefusesOtherPythonNamesByName) {
  const std::string call = PickleText("touch /tmp/owned") + "\x85R.";
  EXPECT_THAT(ErrorOfPickle("cos\nsystem\n" + call),
              AllOf(HasSubstr("\"os.system\" is refused"), HasSubstr("nothing is ever executed")));
  EXPECT_THAT(ErrorOfPickle(PickleText("builtins") + PickleText("eval") + "\x93" + call),
              HasSubstr("\"builtins.eval\" is refused"));
  EXPECT_THAT(ErrorOfPickle("cargparse\nNamespace\n)R."),
              HasSubstr("\"argparse.Namespace\" is refused"));
  EXPECT_THAT(ErrorOfPickle("ctorch\nload\n" + call), HasSubstr("\"torch.load\" is refused"));
  EXPECT_THAT(ErrorOfPickle("ctorch\nComplexFloatStorage\n."),
              HasSubstr("\"torch.ComplexFloatStorage\" is refused"));
  EXPECT_THAT(ErrorOfPickle("c\x1b[31m\nx\n."), HasSubstr("\"\\u001b[31m.x\" is refused"));
}

TEST(TorchArchive, RefusesOtherInstructions) {
  for (const char instruction :
       {'i', 'o', '\x81', '\x92', '\x82', 'P', '\x97', '2', '0', '1', '\x8f', '\x8b'}) {
    EXPECT_THAT(ErrorOfPickle(std::string(1, instruction) + "."),
                HasSubstr("the pickle instruction " +
                          std::to_string(static_cast<uint8_t>(instruction)) + " is refused"));
  }
}

TEST(TorchArchive, RefusesInvalidPrograms) {
  const struct {
    std::string program;
    const char* says;
  } cases[] = {
      {"", "the pickle is truncated (byte 2 of the pickle)"},
      {".", "pops a value from an empty stack"},
      {"(.", "pops a value from an empty stack"},
      {"}(.", "pops a value from an empty stack"},
      {"}s.", "pops a value from an empty stack"},
      {"t.", "pops a mark that was never set"},
      {"}(Nu.", "sets a key without a value"},
      {"NNNs.", "does not have a dict where one must be"},
      {"]NNs.", "does not have a dict where one must be"},
      {"N(Ne.", "does not have a list where one must be"},
      {"hA.", "reads memo 65, which was never stored"},
      {"j\xff\xff\xff\xff.", "reads memo 4294967295, which was never stored"},
      {"(q", "the pickle is truncated"},
      {"X\xff\xff\xff\xff"
       "a.",
       "the pickle is truncated"},
      {std::string("\x8d\xff\xff\xff\xff\xff\xff\xff\xff", 9) + "a.", "the pickle is truncated"},
      {"\x8a\x09"
       "123456789.",
       "more than 64 bits"},
      {"cnever", "the pickle is truncated"},
      {"\x80\x06.", "protocol 6 is not known"},
      {"NR.", "does not have arguments"},
      {"N)R.", "does not have a name to call"},
      {"ccollections\nOrderedDict\nN\x85R.", "OrderedDict is made with arguments"},
      {"ctorch\nFloatStorage\n)R.", "a storage type is called"},
      {"ctorch._utils\n_rebuild_tensor_v2\n)R.", "_rebuild_tensor_v2 has arguments other than"},
      {"ctorch._utils\n_rebuild_parameter\nNNN\x87R.",
       "_rebuild_parameter has arguments other than"},
      {"NQ.", "does not have a storage's description"},
      {")Q.", "a storage is described otherwise than"},
      {"N}b.", "does not have an OrderedDict whose attributes are set"},
      {"}N" + PickleTensor({}) + "s.", "has a tensor whose name is not a UTF-8 string"},
      {"}" + PickleText("\xff") + PickleTensor({}) + "s.",
       "has a tensor whose name is not a UTF-8 string"},
      {"}(" + PickleText("w") + PickleTensor({}) + PickleText("w") + PickleTensor({}) + "u.",
       "has tensor \"w\" twice"},
  };
  for (const auto& [program, says] : cases) EXPECT_THAT(ErrorOfPickle(program), HasSubstr(says));
}

TEST(TorchArchive, HandlesDeepAndCyclicValues) {
  // A tuple in a tuple in a tuple ..
  EXPECT_THAT(ErrorOfPickle(")" + std::string(1'000'000, '\x85') + "."),
              HasSubstr("does not hold a dict"));
  // A list and a dict that contain themselves.
  EXPECT_THAT(ErrorOfPickle("]q1h1a."), HasSubstr("does not hold a dict"));
  EXPECT_THAT(ErrorOfPickle("}q1" + PickleText("model") + "h1s."), HasSubstr("neither a dict"));
}

TEST(TorchArchive, LimitsTheSizeOfThePickle) {
  EXPECT_THAT(ErrorOfPickle(std::string(9 << 20, 'N')), HasSubstr("a state dict's has at most"));
}

TEST(TorchArchive, RefusesTensorsOutsideTheirStorage) {
  const char* beyond = "tensor \"w\" reaches beyond its storage of 6 elements";
  constexpr int64_t kLarge = int64_t{1} << 62;
  EXPECT_THAT(ErrorOfTensor({.shape = {7}, .strides = {1}}), HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.offset = 1}), HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.offset = -1}), HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.offset = 6, .shape = {}, .strides = {}}), HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.shape = {-2, 3}}), HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.strides = {-3, 1}}), HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.shape = {kLarge, 4}}), HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.strides = {kLarge, kLarge}}), HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.shape = {2, 2, 2}, .strides = {kLarge, kLarge, kLarge}}),
              HasSubstr(beyond));
  EXPECT_THAT(ErrorOfTensor({.storage_elements = 7}),
              HasSubstr("says that its storage has 7 elements of F32; the file has 24 bytes"));
  EXPECT_THAT(ErrorOfTensor({.storage_elements = -6}),
              HasSubstr("says that its storage has -6 elements"));
  EXPECT_THAT(ErrorOfTensor({.storage_elements = kLarge}), HasSubstr("elements of F32"));
  EXPECT_THAT(ErrorOfTensor({.type = "DoubleStorage"}), HasSubstr("6 elements of F64"));
  EXPECT_THAT(ErrorOfTensor({.key = "1"}),
              HasSubstr("needs the entry \"a/data/1\", which is missing"));
  EXPECT_THAT(ErrorOfTensor({.key = "../data.pkl"}), HasSubstr("which is missing"));
  EXPECT_THAT(ErrorOfTensor({.shape = {2}}), HasSubstr("1 axes and 2 strides"));
  EXPECT_THAT(ErrorOfTensor({.shape = std::vector<int64_t>(17, 1)}),
              HasSubstr("at most 16 numbers"));
}

TEST(TorchArchive, RefusesOverlappingViews) {
  const char* overlap = "tensor \"w\" is a view whose elements overlap";
  EXPECT_THAT(ErrorOfTensor({.shape = {1 << 30, 1 << 20}, .strides = {0, 0}}), HasSubstr(overlap));
  EXPECT_THAT(ErrorOfTensor({.shape = {3, 2}, .strides = {1, 1}}), HasSubstr(overlap));
  // Many copies of one storage.
  std::string program = "}(";
  for (int i = 0; i < 100; ++i) {
    program += PickleText("w" + std::to_string(i)) +
               PickleTensor({.storage_elements = 60'000, .shape = {300, 200}, .strides = {1, 300}});
  }
  EXPECT_THAT(ErrorOf(Archive(Program(program + "u."), std::string(240'000, '\0'))),
              HasSubstr("need more memory than the file has bytes"));
}

TEST(TorchArchive, NamesDamagedEntries) {
  const std::string pickle = PickleStateDict("w", {});
  const auto with = [&](const ZipWriter::Lie& lie) {
    return ErrorOf(ZipWriter().Add("a/data.pkl", pickle).Add("a/data/0", kSix, lie).Finish());
  };
  EXPECT_EQ(with({}), "no error");
  EXPECT_THAT(with({.method = 8}), AllOf(HasSubstr("entry \"a/data/0\" is compressed"),
                                         HasSubstr("Save the weights again with torch.save")));
  EXPECT_THAT(with({.flags = 1}), HasSubstr("entry \"a/data/0\" is encrypted"));
  EXPECT_THAT(with({.crc_xor = 1}), HasSubstr("entry \"a/data/0\" does not match its checksum"));
  EXPECT_THAT(with({.size_off_by = 1'000'000}), HasSubstr("entry \"a/data/0\" lies at byte"));
  EXPECT_THAT(ErrorOf(ZipWriter().Add("a/data.pkl", pickle).Add("a/data.pkl", pickle).Finish()),
              HasSubstr("has two entries \"a/data.pkl\""));
  EXPECT_THAT(ErrorOf(ZipWriter().Add("a/data.pkl", pickle).Add("b/data.pkl", pickle).Finish()),
              HasSubstr("has several entries */data.pkl"));
  EXPECT_THAT(ErrorOf(ZipWriter().Add("a/readme.txt", "hello").Finish()),
              HasSubstr("not one of torch.save"));
  EXPECT_THAT(
      ErrorOf(ZipWriter().Add("a/data.pkl", pickle).Add("a/constants.pkl", pickle).Finish()),
      HasSubstr("is a TorchScript program; save its state_dict()"));
}

// Otherwise a small file could request many checksums of the same bytes.
TEST(TorchArchive, RefusesOverlappingEntries) {
  const std::string storage(240'000, '\0');
  const auto entries = [&](bool alias) {
    ZipWriter zip;
    std::string program = "}(";
    for (int i = 0; i < 10; ++i) {
      const std::string key = std::to_string(i);
      program += PickleText(key) + PickleTensor({.key = key, .storage_elements = 60'000});
      zip.Add("a/data/" + key, storage, {.alias = alias && i > 0});
    }
    return zip.Add("a/data.pkl", Program(program + "u.")).Finish();
  };
  EXPECT_EQ(ErrorOf(entries(false)), "no error");
  EXPECT_THAT(ErrorOf(entries(true)), HasSubstr("has entries that overlap"));
}

// ---------------------------------------------------------------- before PyTorch 1.6

const std::string kLegacyMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
const std::string kLittle = "\x80\x02}" + PickleText("little_endian") + "\x88s.";

std::string KeyList(const std::vector<std::string>& keys) {
  std::string list = "\x80\x02](";
  for (const std::string& key : keys) list += PickleText(key);
  return list + "e.";
}

std::string LegacyStorage(int64_t elements, const std::string& bytes = kSix) {
  return std::string(reinterpret_cast<const char*>(&elements), sizeof elements) + bytes;
}

std::string LegacyFile(const std::string& state_dict, const std::string& keys = KeyList({"0"}),
                       const std::string& storages = LegacyStorage(6),
                       const std::string& machine = kLittle) {
  return kLegacyMagic + Program(PickleInt(1001) + ".") + machine + state_dict + keys + storages;
}

TEST(TorchArchive, ReadsTheFormatBefore16) {
  const std::string bytes = LegacyFile(
      Program("}(" + PickleText("a") + PickleTensor({}) + PickleText("b") +
              PickleTensor({.key = "1", .shape = {3, 2}, .strides = {1, 3}}) + "u."),
      KeyList({"1", "0"}), LegacyStorage(6, Floats({10, 11, 12, 13, 14, 15})) + LegacyStorage(6));
  const TensorFile file = Parse(bytes);
  EXPECT_THAT(FloatsOf(file.tensors.at("a")), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(FloatsOf(file.tensors.at("b")), ElementsAre(10, 13, 11, 14, 12, 15));
}

TEST(TorchArchive, RefusesInvalidFilesOfTheFormatBefore16) {
  const std::string state_dict = PickleStateDict("w", {});
  const auto error_of = [&](const std::string& keys, const std::string& storages) {
    return ErrorOf(LegacyFile(state_dict, keys, storages));
  };
  EXPECT_EQ(error_of(KeyList({"0"}), LegacyStorage(6)), "no error");
  EXPECT_THAT(error_of(KeyList({}), ""), HasSubstr("does not have the storage \"0\""));
  EXPECT_THAT(error_of(KeyList({"0", "7"}), LegacyStorage(6)),
              HasSubstr("lists a storage that no tensor needs"));
  EXPECT_THAT(error_of(KeyList({"0", "0"}), LegacyStorage(6) + LegacyStorage(6)),
              HasSubstr("lists the storage \"0\" twice"));
  EXPECT_THAT(error_of("\x80\x02}.", ""), HasSubstr("has no list of storages"));
  EXPECT_THAT(error_of(KeyList({"0"}), LegacyStorage(7)),
              HasSubstr("ends within the storage \"0\" of 7 elements"));
  EXPECT_THAT(error_of(KeyList({"0"}), LegacyStorage(-1)), HasSubstr("of -1 elements"));
  EXPECT_THAT(error_of(KeyList({"0"}), LegacyStorage(int64_t{1} << 62)), HasSubstr("ends within"));
  EXPECT_THAT(error_of(KeyList({"0"}), LegacyStorage(5)),
              HasSubstr("tensor \"w\" says that its storage has 6 elements of F32"));
  EXPECT_THAT(ErrorOf(LegacyFile(state_dict, KeyList({"0"}), LegacyStorage(6), Program("}."))),
              HasSubstr("does not say that it is little-endian"));
  EXPECT_THAT(ErrorOf(kLegacyMagic + Program(PickleInt(1000) + ".")),
              HasSubstr("another protocol number than 1001"));
  EXPECT_THAT(ErrorOf(LegacyFile(Program("cos\nsystem\n."))),
              HasSubstr("\"os.system\" is refused"));
  EXPECT_THAT(
      ErrorOf(LegacyFile(Program("}(" + PickleText("a") + PickleTensor({}) + PickleText("b") +
                                 PickleTensor({.type = "DoubleStorage"}) + "u."))),
      HasSubstr("tensors of two types"));
}

TEST(TorchArchive, EveryTruncationOfTheFormatBefore16IsAnError) {
  const std::string file = LegacyFile(PickleStateDict("w", {}));
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_NE(ErrorOf(std::string(file, 0, size)), "no error") << size;
  }
}

// ---------------------------------------------------------------- damage

TEST(TorchArchive, EveryTruncationIsAnError) {
  const std::string file = Archive(PickleStateDict("w", {}));
  for (size_t size = 0; size < file.size(); ++size) {
    const std::string part(file, 0, size);
    EXPECT_NE(ErrorOf(part), "no error") << size;
  }
}

TEST(TorchArchive, EveryTruncationOfThePickleIsAnError) {
  const std::string pickle = PickleStateDict("w", {.shape = {3, 2}, .strides = {1, 3}});
  for (size_t size = 0; size < pickle.size(); ++size) {
    EXPECT_NE(ErrorOf(Archive(pickle.substr(0, size))), "no error") << size;
  }
}

// In the file, where checksums detect it, and in the pickle with a matching checksum.
TEST(TorchArchive, FlippedBitsAreHandled) {
  const std::string pickle = PickleStateDict("w", {.shape = {3, 2}, .strides = {1, 3}});
  const std::string file =
      ZipWriter().UseZip64().Add("a/data.pkl", pickle).Add("a/data/0", kSix).Finish();
  const auto flip = [](std::string bytes, size_t bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    return bytes;
  };
  size_t refused = 0;
  for (size_t bit = 0; bit < file.size() * 8; ++bit)
    refused += ErrorOf(flip(file, bit)) != "no error";
  EXPECT_GT(refused, (pickle.size() + kSix.size()) * 8);
  refused = 0;
  for (size_t bit = 0; bit < pickle.size() * 8; ++bit) {
    refused += ErrorOf(Archive(flip(pickle, bit))) != "no error";
  }
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace proad::model

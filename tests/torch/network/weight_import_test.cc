#include "model/network/weight_import.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/network/encoder_kinds.h"
#include "model/spec/preset.h"
#include "tests/torch/test_weights.h"

namespace proad::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kHuggingFace = "embeddings.register_tokens";
const std::string kWrapped = "dinov2_with_registers.embeddings.register_tokens";

ProAd SmallModel(ModelConfig config = SmallConfig()) {
  ProAd model(config);
  model->eval();
  return model;
}

NamedTensors Trainable(const ProAd& model) {
  NamedTensors tensors;
  for (const auto& item : model->TrainableParameters()) {
    tensors[item.key()] = item.value().detach().clone();
  }
  return tensors;
}

void ExpectEqual(const torch::Tensor& actual, const torch::Tensor& expected,
                 const std::string& name) {
  EXPECT_TRUE(actual.to(at::kFloat).equal(expected)) << name;
}

TEST(ImportEncoder, ReadsOfficialNames) {
  const NamedTensors tensors = OfficialTensors();
  ProAd model = SmallModel();
  const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), SmallConfig().encoder);
  EXPECT_EQ(encoder.dialect, WeightDialect::kOfficial);
  LoadEncoder(*model->encoder, encoder);
  const auto parameters = model->encoder->named_parameters();
  ASSERT_EQ(parameters.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) ExpectEqual(parameters[name], tensor, name);
}

TEST(ImportEncoder, JoinsQueryKeyAndValueOfHuggingFace) {
  NamedTensors tensors = EncoderTensors(NamesOf(kHuggingFace), SmallConfig().encoder);
  const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), SmallConfig().encoder);
  EXPECT_EQ(encoder.dialect, WeightDialect::kHuggingFace);
  const std::string attention = "encoder.layer.1.attention.attention.";
  for (const std::string kind : {"weight", "bias"}) {
    ExpectEqual(
        encoder.tensors.at("blocks.1.attn.qkv." + kind),
        at::cat({tensors.at(attention + "query." + kind), tensors.at(attention + "key." + kind),
                 tensors.at(attention + "value." + kind)}),
        kind);
  }
  ExpectEqual(encoder.tensors.at("blocks.0.ls2.gamma"),
              tensors.at("encoder.layer.0.layer_scale2.lambda1"), "ls2");
}

// The names that a Hugging Face model has in memory, and those inside its image classifier.
TEST(ImportEncoder, ReadsOtherNamesOfHuggingFace) {
  const EncoderConfig config = SmallConfig().encoder;
  const NamedTensors on_disk = EncoderTensors(NamesOf(kHuggingFace), config);
  const std::vector<std::pair<std::string, std::string>> renamed = {
      {"attention.attention.query", "attention.q_proj"},
      {"attention.attention.key", "attention.k_proj"},
      {"attention.attention.value", "attention.v_proj"},
      {"attention.output.dense", "attention.o_proj"}};
  NamedTensors in_memory, wrapped;
  for (const auto& [name, tensor] : on_disk) {
    wrapped["dinov2_with_registers." + name] = tensor;
    std::string other = name;
    for (const auto& [from, to] : renamed) {
      const size_t at = other.find(from);
      if (at != std::string::npos) other.replace(at, from.size(), to);
    }
    in_memory[other] = tensor;
  }
  wrapped["classifier.weight"] = at::zeros({3, 16});
  wrapped["classifier.bias"] = at::zeros({3});
  const ImportedEncoder expected = ImportEncoder(ToFile(on_disk), config);
  for (const NamedTensors& tensors : {in_memory, wrapped}) {
    const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), config);
    ASSERT_EQ(encoder.tensors.size(), expected.tensors.size());
    for (const auto& [name, tensor] : expected.tensors) {
      ExpectEqual(encoder.tensors.at(name), tensor, name);
    }
  }
}

// timm has added the class token's position to the token; the sum must come out the same.
TEST(ImportEncoder, AddsTheClassPositionThatTimmLacks) {
  const NamedTensors tensors = EncoderTensors(NamesOf("reg_token"), SmallConfig().encoder);
  const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), SmallConfig().encoder);
  EXPECT_EQ(encoder.dialect, WeightDialect::kTimm);
  const torch::Tensor positions = encoder.tensors.at("pos_embed");
  EXPECT_EQ(positions.sizes(), (std::vector<int64_t>{1, 10, 8}));
  ExpectEqual(positions.slice(1, 1), tensors.at("pos_embed"), "pos_embed");
  ExpectEqual(encoder.tensors.at("cls_token") + positions.slice(1, 0, 1), tensors.at("cls_token"),
              "cls_token");
  ExpectEqual(encoder.tensors.at("register_tokens"), tensors.at("reg_token"), "register_tokens");
}

TEST(ImportEncoder, IgnoresTensorsThatTheNetworkDoesNotUse) {
  NamedTensors tensors = OfficialTensors();
  tensors["mask_token"] = at::zeros({1, 8});
  tensors["norm.weight"] = at::ones({8});
  tensors["norm.bias"] = at::zeros({8});
  tensors["head.weight"] = at::zeros({1000, 8});
  tensors["blocks.2.norm1.weight"] = at::ones({8});
  tensors["blocks.11.mlp.fc2.bias"] = at::ones({8});
  const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), SmallConfig().encoder);
  EXPECT_EQ(encoder.tensors.size(), tensors.size() - 6);
  EXPECT_FALSE(encoder.tensors.contains("blocks.2.norm1.weight"));
}

TEST(ImportEncoder, ConvertsHalfPrecision) {
  const NamedTensors tensors = OfficialTensors();
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    NamedTensors narrow;
    for (const auto& [name, tensor] : tensors) narrow[name] = tensor.to(type);
    ProAd model = SmallModel();
    const ImportedEncoder encoder = ImportEncoder(ToFile(narrow), SmallConfig().encoder);
    EXPECT_EQ(encoder.tensors.at("cls_token").scalar_type(), type);
    LoadEncoder(*model->encoder, encoder);
    EXPECT_EQ(VisionTransformerOf(model).cls_token.scalar_type(), at::kFloat);
    ExpectEqual(VisionTransformerOf(model).cls_token, narrow.at("cls_token").to(at::kFloat),
                "cls_token");
  }
}

TEST(ImportEncoder, ReadsThePositionGridFromTheFile) {
  ModelConfig config = SmallConfig();
  config.encoder.position_grid = 5;
  const NamedTensors tensors = OfficialTensors(config);
  const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), SmallConfig().encoder);
  EXPECT_EQ(encoder.config.position_grid, 5);
  ProAd fitting = SmallModel(config);
  LoadEncoder(*fitting->encoder, encoder);
  ExpectEqual(VisionTransformerOf(fitting).pos_embed, tensors.at("pos_embed"), "pos_embed");

  ProAd other = SmallModel();
  try {
    LoadEncoder(*other->encoder, encoder);
    FAIL() << "an encoder of another position grid was loaded";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), "ENCODER_MISMATCH");
  }
}

// ---------------------------------------------------------------- what is refused

struct Refusal {
  const char* what;
  std::function<void(NamedTensors&)> damage;
  std::vector<std::string> words;  // that the message must hold beside the file's name
};

std::string Message(const std::function<void()>& call) {
  try {
    call();
  } catch (const CorruptFile& error) {
    EXPECT_EQ(error.file(), "weights.file");
    return error.what();
  }
  return "";
}

TEST(ImportEncoder, ErrorsNameTheTensor) {
  const std::vector<Refusal> refusals = {
      {"missing",
       [](NamedTensors& t) { t.erase("blocks.1.ls1.gamma"); },
       {"missing tensor 'blocks.1.ls1.gamma' [8]"}},
      {"unknown",
       [](NamedTensors& t) {
         t["blocks.0.attn.rope"] = at::zeros({2, 3});
       },
       {"unknown tensor 'blocks.0.attn.rope' F32 [2, 3]"}},
      {"unknown in a later block",
       [](NamedTensors& t) { t["blocks.7.attn.rope"] = at::zeros({2}); },
       {"unknown tensor 'blocks.7.attn.rope' F32 [2]"}},
      {"no block",
       [](NamedTensors& t) { t["blocks.x.norm1.weight"] = at::zeros({8}); },
       {"unknown tensor 'blocks.x.norm1.weight'"}},
      {"of another dialect",
       [](NamedTensors& t) {
         t["reg_token"] = at::zeros({1, 4, 8});
       },
       {"unknown tensor 'reg_token' F32 [1, 4, 8]"}},
      {"transposed",
       [](NamedTensors& t) {
         t["blocks.0.mlp.fc1.weight"] = at::zeros({8, 32});
       },
       {"'blocks.0.mlp.fc1.weight' F32 [8, 32]", "expected", "[32, 8]"}},
      {"registers of another width",
       [](NamedTensors& t) {
         t["register_tokens"] = at::zeros({1, 4, 6});
       },
       {"'register_tokens' F32 [1, 4, 6]", "[1, 4, 8]"}},
      {"no square of positions",
       [](NamedTensors& t) {
         t["pos_embed"] = at::zeros({1, 9, 8});
       },
       {"'pos_embed' F32 [1, 9, 8]", "[1, 10, 8]"}},
      {"whole numbers",
       [](NamedTensors& t) {
         t["cls_token"] = at::zeros({1, 1, 8}, at::kLong);
       },
       {"'cls_token' I64 [1, 1, 8]", "F32, F16 or BF16"}},
      {"not finite",
       [](NamedTensors& t) {
         t["patch_embed.proj.bias"][3] = std::numeric_limits<float>::quiet_NaN();
       },
       {"'patch_embed.proj.bias' F32 [8]", "not finite"}},
      {"two at once",
       [](NamedTensors& t) {
         t.erase("cls_token");
         t.erase("blocks.0.norm2.bias");
       },
       {"missing tensor 'cls_token' [1, 1, 8]", "missing tensor 'blocks.0.norm2.bias' [8]"}},
  };
  for (const Refusal& refusal : refusals) {
    NamedTensors tensors = OfficialTensors();
    refusal.damage(tensors);
    const std::string message =
        Message([&] { ImportEncoder(ToFile(tensors), SmallConfig().encoder); });
    EXPECT_THAT(message, HasSubstr("weights.file")) << refusal.what;
    for (const std::string& word : refusal.words) {
      EXPECT_THAT(message, HasSubstr(word)) << refusal.what;
    }
  }
}

TEST(ImportEncoder, RefusesATensorUnderTwoNames) {
  NamedTensors tensors = EncoderTensors(NamesOf(kHuggingFace), SmallConfig().encoder);
  tensors["encoder.layer.0.attention.q_proj.bias"] = at::zeros({8});
  EXPECT_THAT(Message([&] { ImportEncoder(ToFile(tensors), SmallConfig().encoder); }),
              HasSubstr("unknown tensor 'encoder.layer.0.attention.q_proj.bias'"));
}

TEST(ImportEncoder, LimitsTheListOfProblems) {
  NamedTensors tensors = {{"register_tokens", at::zeros({1, 4, 8})}};
  const std::string message =
      Message([&] { ImportEncoder(ToFile(tensors), SmallConfig().encoder); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("missing tensor 'cls_token'"), HasSubstr("more such problems")));
  EXPECT_LT(message.size(), 1000u);
}

void ExpectUnknownEncoder(const NamedTensors& tensors, const std::string& words) {
  try {
    ImportEncoder(ToFile(tensors), SmallConfig().encoder);
    FAIL() << "imported; expected: " << words;
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "encoder");
    EXPECT_EQ(error.reason(), "ENCODER_UNKNOWN");
    EXPECT_THAT(error.what(), AllOf(HasSubstr("weights.file"), HasSubstr(words)));
  }
}

TEST(ImportEncoder, DescribesAFileWithUnknownNames) {
  ExpectUnknownEncoder(Trainable(SmallModel()), "trained weights of a Pro-AD");
  ExpectUnknownEncoder({{"conv1.weight", at::zeros({3})}}, "\"conv1.weight\"");
  ExpectUnknownEncoder({}, "has no tensors");
  ExpectUnknownEncoder({{"net.trunk.a", at::zeros({3})}, {"net.trunk.b.c", at::zeros({3})}},
                       "the prefix \"net.trunk.\", and the first behind it are \"a\", \"b.c\"");
}

// Encoders of self-distillation, of parallel training and inside other models.
TEST(ImportEncoder, ReadsNamesBehindAPrefix) {
  const EncoderConfig config = SmallConfig().encoder;
  for (const std::string& mark : {std::string("register_tokens"), kHuggingFace}) {
    const NamedTensors plain = EncoderTensors(NamesOf(mark), config);
    const ImportedEncoder expected = ImportEncoder(ToFile(plain), config);
    for (const std::string prefix : {"teacher.backbone.", "module.", "backbone.", "model.",
                                     "module.encoder.", "dinov2.", "_orig_mod."}) {
      SCOPED_TRACE(prefix + mark);
      NamedTensors tensors = {{"head.weight", at::zeros({3, 8})}, {"epoch", at::zeros({1})}};
      for (const auto& [name, tensor] : plain) tensors[prefix + name] = tensor;
      const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), config);
      EXPECT_EQ(encoder.dialect, expected.dialect);
      ASSERT_EQ(encoder.tensors.size(), expected.tensors.size());
      for (const auto& [name, tensor] : expected.tensors) {
        ExpectEqual(encoder.tensors.at(name), tensor, name);
      }
      tensors.erase(tensors.find(prefix + plain.begin()->first));
      EXPECT_THAT(Message([&] { ImportEncoder(ToFile(tensors), config); }),
                  HasSubstr("missing tensor '" + prefix));
    }
  }
}

TEST(ImportEncoder, TakesTheTeacherAndRefusesToGuessOtherwise) {
  const NamedTensors plain = OfficialTensors();
  const auto file_of = [&](const std::string& first, const std::string& second) {
    NamedTensors tensors;
    for (const auto& [name, tensor] : plain) {
      tensors[first + name] = tensor;
      tensors[second + name] = tensor + 1;
    }
    return tensors;
  };
  const ImportedEncoder teacher = ImportEncoder(
      ToFile(file_of("teacher.backbone.", "student.backbone.")), SmallConfig().encoder);
  ExpectEqual(teacher.tensors.at("cls_token"), plain.at("cls_token"), "cls_token of the teacher");
  ExpectUnknownEncoder(file_of("left.", "right."), "under the prefixes \"left.\", \"right.\"");
}

TEST(ImportEncoder, TakesTheNumberOfRegistersFromTheFile) {
  for (const std::string& mark : {std::string("register_tokens"), kHuggingFace}) {
    for (const int registers : {0, 1, 4}) {
      SCOPED_TRACE(mark + " " + std::to_string(registers));
      EncoderConfig config = SmallConfig().encoder;
      config.registers = registers;
      const NamedTensors tensors = EncoderTensors(NamesOf(mark), config);
      const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), SmallConfig().encoder);
      EXPECT_EQ(encoder.config, config);
      EXPECT_EQ(encoder.tensors.contains("register_tokens"), registers > 0);
      ModelConfig model = SmallConfig();
      model.encoder = config;
      ProAd network(model);
      LoadEncoder(*network->encoder, encoder);
      const auto outputs = network->encoder->forward(at::zeros({1, 3, 28, 28}));
      EXPECT_EQ(outputs.front().size(1), 1 + registers + 4);
    }
  }
}

// timm names the tensors of models without registers as DINOv2 does.
TEST(ImportEncoder, TellsPositionsWithoutTheClassTokenByTheirNumber) {
  EncoderConfig config = SmallConfig().encoder;
  config.registers = 0;
  NamedTensors tensors = EncoderTensors(NamesOf("register_tokens"), config);
  EXPECT_EQ(ImportEncoder(ToFile(tensors), config).dialect, WeightDialect::kOfficial);
  const int64_t slots = int64_t{config.position_grid} * config.position_grid;
  tensors["pos_embed"] = tensors.at("pos_embed").narrow(1, 1, slots).contiguous();
  const ImportedEncoder encoder = ImportEncoder(ToFile(tensors), config);
  EXPECT_EQ(encoder.dialect, WeightDialect::kTimm);
  EXPECT_EQ(encoder.tensors.at("pos_embed").size(1), slots + 1);
}

TEST(ImportEncoder, NamesThePresetThatFits) {
  try {
    ImportEncoder(ToFile({{"register_tokens", at::zeros({1, 4, 384})},
                          {"cls_token", at::zeros({1, 1, 384})}}),
                  PresetConfig("proad-base").encoder);
    FAIL() << "an encoder 384 wide was taken for one 768 wide";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "preset");
    EXPECT_EQ(error.reason(), "PRESET_MISMATCH");
    EXPECT_THAT(error.what(), AllOf(HasSubstr("384 wide"), HasSubstr("768 wide"),
                                    HasSubstr("'proad-small'"), Not(HasSubstr("'proad-large'"))));
  }
}

TEST(ImportEncoder, ReadsAPyramid) {
  const EncoderConfig config = PresetConfig("proad-pyramid").encoder;
  const NamedTensors tensors = EncoderTensors(NamesOf("squeezenet.conv1.weight"), config);
  const ImportedEncoder imported = ImportEncoder(ToFile(tensors), config);
  EXPECT_EQ(imported.dialect, WeightDialect::kPyramid);
  Encoder encoder = NewEncoder(config);
  LoadEncoder(*encoder, imported);
  const auto parameters = encoder->named_parameters();
  EXPECT_EQ(parameters.size(), tensors.size());
  for (const auto& item : parameters) ExpectEqual(item.value(), tensors.at(item.key()), item.key());

  NamedTensors classifier = tensors;
  classifier["squeezenet.conv10.bias"] = at::zeros({1000});
  EXPECT_THAT(Message([&] { ImportEncoder(ToFile(classifier), config); }),
              HasSubstr("unknown tensor 'squeezenet.conv10.bias' F32 [1000]"));

  // Directions of other features went by this name: of the same shape, and not to be mistaken.
  NamedTensors before = tensors;
  before["space"] = before.at("directions");
  before.erase("directions");
  EXPECT_THAT(Message([&] { ImportEncoder(ToFile(before), config); }), HasSubstr("'directions'"));
}

// The tensors of a published EfficientNet-Lite, whose variances are positive.
NamedTensors PublishedLite(const EncoderConfig& config) {
  NamedTensors tensors = EncoderTensors(NamesOf("_conv_stem.weight"), config);
  for (auto& [name, tensor] : tensors) {
    if (name.ends_with("running_var")) tensor = tensor.abs() + 0.5;
  }
  return tensors;
}

TEST(ImportEncoder, FoldsTheBatchNormsOfEfficientNetLite) {
  const EncoderConfig config = PresetConfig("proad-lite").encoder;
  NamedTensors tensors = PublishedLite(config);
  tensors["_fc.weight"] = at::zeros({1000, 1280});
  tensors["_blocks.20._bn0.weight"] = at::zeros({7});
  tensors["_bn0.num_batches_tracked"] = at::zeros({});
  const ImportedEncoder imported = ImportEncoder(ToFile(tensors), config);
  EXPECT_EQ(imported.dialect, WeightDialect::kLite);
  Encoder encoder = NewEncoder(config);
  LoadEncoder(*encoder, imported);

  const torch::Tensor x = at::randn({1, 3, 5, 5});
  const torch::Tensor expected =
      at::batch_norm(at::conv2d(x, tensors.at("_conv_stem.weight")), tensors.at("_bn0.weight"),
                     tensors.at("_bn0.bias"), tensors.at("_bn0.running_mean"),
                     tensors.at("_bn0.running_var"), /*training=*/false, 0, 1e-3, false);
  const auto parameters = encoder->named_parameters();
  const torch::Tensor actual =
      at::conv2d(x, parameters["lite.stem.weight"], parameters["lite.stem.bias"]);
  EXPECT_LE((actual - expected).abs().max().item<double>(), 1e-4);

  // The folded tensors, which a version's directory has, are read as they are.
  const ImportedEncoder again = ImportEncoder(ToFile(imported.tensors), config);
  EXPECT_EQ(again.dialect, WeightDialect::kFoldedLite);
  for (const auto& [name, tensor] : imported.tensors) {
    ExpectEqual(again.tensors.at(name), tensor, name);
  }
}

TEST(ImportEncoder, NamesWrongTensorsOfEfficientNetLite) {
  const EncoderConfig config = PresetConfig("proad-lite").encoder;
  NamedTensors tensors = PublishedLite(config);
  tensors["_blocks.3._se_reduce.weight"] = at::zeros({1});
  tensors.erase("_blocks.3._bn1.running_var");
  EXPECT_THAT(Message([&] { ImportEncoder(ToFile(tensors), config); }),
              AllOf(HasSubstr("missing tensor '_blocks.3._bn1.running_var'"),
                    HasSubstr("unknown tensor '_blocks.3._se_reduce.weight'")));
  EncoderConfig other = config;
  other.lite.variant = 0;
  EXPECT_THAT(Message([&] { ImportEncoder(ToFile(PublishedLite(config)), other); }),
              HasSubstr("'_blocks.3._project_conv.weight' F32 [24, 144, 1, 1]"));
}

TEST(ImportEncoder, ReadsACombinedEncoder) {
  const EncoderConfig config = PresetConfig("proad-combined").encoder;
  const NamedTensors tensors = EncoderTensors(NamesOf("transformer.cls_token"), config);
  const ImportedEncoder imported = ImportEncoder(ToFile(tensors), config);
  EXPECT_EQ(imported.dialect, WeightDialect::kCombined);
  Encoder encoder = NewEncoder(config);
  LoadEncoder(*encoder, imported);
  const auto parameters = encoder->named_parameters();
  EXPECT_EQ(parameters.size(), tensors.size());
  for (const auto& item : parameters) ExpectEqual(item.value(), tensors.at(item.key()), item.key());
}

TEST(ImportEncoder, DistinguishesAPyramidFromAVisionTransformer) {
  const EncoderConfig pyramid = PresetConfig("proad-pyramid").encoder;
  const EncoderConfig tiny = PresetConfig("proad-tiny").encoder;
  const NamedTensors of_pyramid = EncoderTensors(NamesOf("squeezenet.conv1.weight"), pyramid);
  const NamedTensors of_tiny = EncoderTensors(NamesOf("register_tokens"), tiny);
  for (const auto& [tensors, config] : {std::pair(of_pyramid, tiny), std::pair(of_tiny, pyramid)}) {
    try {
      ImportEncoder(ToFile(tensors), config);
      FAIL() << "an encoder of another kind was imported as " << NameOf(config.kind);
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.field(), "preset");
      EXPECT_EQ(error.reason(), "PRESET_MISMATCH");
      EXPECT_THAT(error.what(), AllOf(HasSubstr("vision transformer"), HasSubstr("patch pyramid"),
                                      HasSubstr("'proad-pyramid'")));
    }
  }
}

// ---------------------------------------------------------------- trained weights

TEST(LoadTrainable, CopiesEveryTensor) {
  ProAd source = SmallModel();
  ProAd target = SmallModel();
  ASSERT_FALSE(source->prototypes.equal(target->prototypes));
  const NamedTensors tensors = Trainable(source);
  LoadTrainable(target, ToFile(tensors));
  for (const auto& [name, tensor] : Trainable(target)) ExpectEqual(tensor, tensors.at(name), name);
  EXPECT_TRUE(target->prototypes.requires_grad()) << "loaded weights can be trained on";
}

TEST(LoadTrainable, ErrorsNameTheTensorAndDoNotChangeTheModel) {
  const std::vector<Refusal> refusals = {
      {"missing",
       [](NamedTensors& t) { t.erase("decoder.1.attn.k.bias"); },
       {"missing tensor 'decoder.1.attn.k.bias' [8]"}},
      {"one layer more",
       [](NamedTensors& t) { t["decoder.2.attn.k.bias"] = at::zeros({8}); },
       {"unknown tensor 'decoder.2.attn.k.bias' F32 [8]", "2 decoder layers"}},
      {"the encoder's",
       [](NamedTensors& t) {
         t["cls_token"] = at::zeros({1, 1, 8});
       },
       {"unknown tensor 'cls_token'"}},
      {"misshapen",
       [](NamedTensors& t) {
         t["bottleneck.fc2.weight"] = at::zeros({32, 8});
       },
       {"'bottleneck.fc2.weight' F32 [32, 8]", "[8, 32]"}},
      {"for another input",
       [](NamedTensors& t) {
         t["prototypes"] = at::zeros({21, 8});
       },
       {"'prototypes' F32 [21, 8]", "[9, 8]", "28 x 28 pixels"}},
      {"not finite",
       [](NamedTensors& t) { t["prototypes"][2][1] = std::numeric_limits<float>::infinity(); },
       {"'prototypes'", "not finite"}},
  };
  const NamedTensors good = Trainable(SmallModel());
  for (const Refusal& refusal : refusals) {
    NamedTensors tensors;
    for (const auto& [name, tensor] : good) tensors[name] = tensor.clone();
    refusal.damage(tensors);
    ProAd model = SmallModel();
    const NamedTensors before = Trainable(model);
    const std::string message = Message([&] { LoadTrainable(model, ToFile(tensors)); });
    for (const std::string& word : refusal.words) {
      EXPECT_THAT(message, HasSubstr(word)) << refusal.what;
    }
    for (const auto& [name, tensor] : Trainable(model)) ExpectEqual(tensor, before.at(name), name);
  }
}

TEST(LoadTrainable, NamesThePresetThatFits) {
  ProAd model = SmallModel();
  try {
    LoadTrainable(model, ToFile({{"prototypes", at::zeros({405, 192})}}));
    FAIL() << "weights 192 wide were loaded into a network 8 wide";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), "PRESET_MISMATCH");
    EXPECT_THAT(error.what(), AllOf(HasSubstr("192 wide"), HasSubstr("'proad-tiny'")));
  }
}

TEST(KnownEncoder, KnowsThePublishedFile) {
  EXPECT_THAT(
      std::string(KnownEncoder("73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71")),
      HasSubstr("dinov2_vitb14_reg4"));
  EXPECT_EQ(KnownEncoder(std::string(64, '0')), "");
}

}  // namespace
}  // namespace proad::model

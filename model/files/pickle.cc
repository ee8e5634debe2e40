#include "model/files/pickle.h"

#include <algorithm>
#include <bit>

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

// The instructions of Python's pickle protocols 2 to 5 that torch.save uses for a state dict.
enum Instruction : uint8_t {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinFloat = 'G',
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kBuild = 'b',
  kBinPersId = 'Q',
  kProto = 0x80,
  kFrame = 0x95,
};

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr StorageType kStorageTypes[] = {
    {"DoubleStorage", DType::kF64},    {"FloatStorage", DType::kF32}, {"HalfStorage", DType::kF16},
    {"BFloat16Storage", DType::kBF16}, {"LongStorage", DType::kI64},  {"IntStorage", DType::kI32},
    {"ShortStorage", DType::kI16},     {"CharStorage", DType::kI8},   {"ByteStorage", DType::kU8},
    {"BoolStorage", DType::kBool}};

}  // namespace

Pickle::Pickle(std::span<const std::byte> program, std::string source)
    : program_(program, std::move(source)) {
  Run();
}

// ---- the stack

void Pickle::Push(Value value) { stack_.push_back(value); }

void Pickle::PushSequence(Kind kind, std::vector<Value> values) {
  sequences_.push_back(std::move(values));
  Push({.kind = kind, .index = sequences_.size() - 1});
}

Pickle::Value Pickle::Pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
    Fail("the pickle pops a value from an empty stack");
  }
  const Value value = stack_.back();
  stack_.pop_back();
  return value;
}

Pickle::Value Pickle::PopKind(Kind kind, const char* what) {
  const Value value = Pop();
  if (value.kind != kind)
    Fail(std::string("the pickle does not have ") + what + " where one must be");
  return value;
}

std::vector<Pickle::Value> Pickle::PopToMark() {
  if (marks_.empty()) Fail("the pickle pops a mark that was never set");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Value> values(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return values;
}

std::vector<Pickle::Value> Pickle::PopCount(size_t count) {
  std::vector<Value> values(count);
  for (size_t i = count; i-- > 0;) values[i] = Pop();
  return values;
}

// ---- the instructions

void Pickle::Run() {
  static_assert(std::endian::native == std::endian::little);
  while (true) {
    const uint8_t instruction = program_.Take<uint8_t>();
    if (instruction == kStop) break;
    if (RunScalar(instruction) || RunContainer(instruction) || RunMemo(instruction) ||
        RunObject(instruction)) {
      continue;
    }
    Fail("the pickle instruction " + std::to_string(instruction) +
         " is refused: a state dict does not need it");
  }
  root_ = Pop();
}

bool Pickle::RunScalar(uint8_t instruction) {
  switch (instruction) {
    case kProto:
      if (const int protocol = program_.Take<uint8_t>(); protocol > 5) {
        Fail("pickle protocol " + std::to_string(protocol) + " is not known; 2 to 5 are");
      }
      return true;
    case kFrame:
      program_.Take<uint64_t>();  // only a hint for stream readers
      return true;
    case kNone:
      Push({});
      return true;
    case kNewTrue:
    case kNewFalse:
      PushBool(instruction == kNewTrue);
      return true;
    case kBinInt:
      PushInt(program_.Take<int32_t>());
      return true;
    case kBinInt1:
      PushInt(program_.Take<uint8_t>());
      return true;
    case kBinInt2:
      PushInt(program_.Take<uint16_t>());
      return true;
    case kLong1:
      PushInt(program_.TakeInteger(program_.Take<uint8_t>()));
      return true;
    case kBinFloat:  // the only big-endian number
      Push({.kind = Kind::kFloat,
            .number = std::bit_cast<double>(__builtin_bswap64(program_.Take<uint64_t>()))});
      return true;
    case kBinUnicode:
      PushText(program_.TakeText(program_.Take<uint32_t>()));
      return true;
    case kShortBinUnicode:
      PushText(program_.TakeText(program_.Take<uint8_t>()));
      return true;
    case kBinUnicode8:
      PushText(program_.TakeText(program_.Take<uint64_t>()));
      return true;
    default:
      return false;
  }
}

bool Pickle::RunContainer(uint8_t instruction) {
  switch (instruction) {
    case kMark:
      marks_.push_back(stack_.size());
      return true;
    case kEmptyTuple:
      PushSequence(Kind::kTuple, {});
      return true;
    case kTuple:
      PushSequence(Kind::kTuple, PopToMark());
      return true;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      PushSequence(Kind::kTuple, PopCount(instruction - kTuple1 + 1u));
      return true;
    case kEmptyList:
      PushSequence(Kind::kList, {});
      return true;
    case kAppend:
      Extend(Kind::kList, PopCount(1));
      return true;
    case kAppends:
      Extend(Kind::kList, PopToMark());
      return true;
    case kEmptyDict:
      PushSequence(Kind::kDict, {});
      return true;
    case kSetItem:
      Extend(Kind::kDict, PopCount(2));
      return true;
    case kSetItems:
      Extend(Kind::kDict, PopToMark());
      return true;
    default:
      return false;
  }
}

// Appends `values` to the container on top of the stack, which stays there.
void Pickle::Extend(Kind kind, const std::vector<Value>& values) {
  if (kind == Kind::kDict && values.size() % 2 != 0) Fail("the pickle sets a key without a value");
  const Value container = PopKind(kind, kind == Kind::kDict ? "a dict" : "a list");
  std::vector<Value>& items = sequences_[container.index];
  items.insert(items.end(), values.begin(), values.end());
  Push(container);
}

bool Pickle::RunMemo(uint8_t instruction) {
  uint64_t slot = 0;
  switch (instruction) {
    case kBinGet:
    case kBinPut:
      slot = program_.Take<uint8_t>();
      break;
    case kLongBinGet:
    case kLongBinPut:
      slot = program_.Take<uint32_t>();
      break;
    case kMemoize:
      slot = memo_.size();
      break;
    default:
      return false;
  }
  if (instruction == kBinGet || instruction == kLongBinGet) {
    const auto found = memo_.find(slot);
    if (found == memo_.end())
      Fail("the pickle reads memo " + std::to_string(slot) + ", which was never stored");
    Push(found->second);
  } else {
    const Value value = Pop();
    memo_[slot] = value;
    Push(value);
  }
  return true;
}

bool Pickle::RunObject(uint8_t instruction) {
  switch (instruction) {
    case kGlobal: {
      const std::string_view module = program_.TakeLine();
      PushGlobal(module, program_.TakeLine());
      return true;
    }
    case kStackGlobal: {
      const std::string_view name = PopKind(Kind::kString, "a name").text;
      PushGlobal(PopKind(Kind::kString, "a module's name").text, name);
      return true;
    }
    case kReduce:
      Call();
      return true;
    case kBuild:
      SetState();
      return true;
    case kBinPersId:
      PushStorage();
      return true;
    default:
      return false;
  }
}

void Pickle::PushGlobal(std::string_view module, std::string_view name) {
  std::optional<Global> global;
  if (module == "collections" && name == "OrderedDict") {
    global = {Callable::kOrderedDict, {}};
  } else if (module == "torch._utils" && name == "_rebuild_tensor_v2") {
    global = {Callable::kRebuildTensor, {}};
  } else if (module == "torch._utils" && name == "_rebuild_parameter") {
    global = {Callable::kRebuildParameter, {}};
  } else if (module == "torch.storage" && name == "UntypedStorage") {
    global = {Callable::kStorageType, DType::kU8};  // as in torch.load
  } else if (module == "torch" || module == "torch.cuda") {
    const auto type = std::find_if(std::begin(kStorageTypes), std::end(kStorageTypes),
                                   [&](const StorageType& known) { return known.name == name; });
    if (type != std::end(kStorageTypes)) global = {Callable::kStorageType, type->dtype};
  }
  if (!global) {
    Fail(Quote(std::string(module) + "." + std::string(name)) +
         " is refused: only tensors in dicts are read, and nothing is ever executed. Save "
         "model.state_dict() alone, or as safetensors");
  }
  globals_.push_back(*global);
  Push({.kind = Kind::kGlobal, .index = globals_.size() - 1});
}

void Pickle::Call() {
  const auto arguments = items(PopKind(Kind::kTuple, "arguments"));
  switch (globals_[PopKind(Kind::kGlobal, "a name to call").index].callable) {
    case Callable::kOrderedDict:
      if (!arguments.empty()) Fail("an OrderedDict is made with arguments");
      PushSequence(Kind::kDict, {});
      return;
    case Callable::kRebuildTensor:
      Push(RebuildTensor(arguments));
      return;
    case Callable::kRebuildParameter:  // (tensor, requires_grad, hooks)
      if (arguments.size() != 3 || arguments[0].kind != Kind::kTensor) {
        Fail("_rebuild_parameter has arguments other than (tensor, requires_grad, hooks)");
      }
      Push(arguments[0]);
      return;
    case Callable::kStorageType:
      Fail("a storage type is called; torch.save never does this");
  }
}

// Drops the attributes of an OrderedDict, such as the _metadata of a state dict: the tensors do not
// depend on them.
void Pickle::SetState() {
  Pop();
  Push(PopKind(Kind::kDict, "an OrderedDict whose attributes are set"));
}

void Pickle::PushStorage() {
  // ("storage", type, key, location, elements); before PyTorch 1.6 also the part of the storage
  // that the tensor sees, for which None has been written since 0.4.
  const auto id = items(PopKind(Kind::kTuple, "a storage's description"));
  const bool whole = id.size() == 5 || (id.size() == 6 && id[5].kind == Kind::kNone);
  if (!whole || id[0].kind != Kind::kString || id[0].text != "storage" ||
      id[1].kind != Kind::kGlobal || globals_[id[1].index].callable != Callable::kStorageType ||
      id[2].kind != Kind::kString || id[4].kind != Kind::kInt) {
    Fail("a storage is described otherwise than (\"storage\", type, key, location, elements)");
  }
  storages_.push_back({globals_[id[1].index].dtype, id[2].text, id[4].integer});
  Push({.kind = Kind::kStorage, .index = storages_.size() - 1});
}

Pickle::Value Pickle::RebuildTensor(std::span<const Value> arguments) {
  // (storage, offset, shape, strides, requires_grad, hooks[, metadata])
  if (arguments.size() < 6 || arguments.size() > 7 || arguments[0].kind != Kind::kStorage ||
      arguments[1].kind != Kind::kInt) {
    Fail("_rebuild_tensor_v2 has arguments other than (storage, offset, shape, strides, ..)");
  }
  const Storage& storage = storages_[arguments[0].index];
  PickledTensor tensor = {.dtype = storage.dtype,
                          .storage = storage.key,
                          .storage_elements = storage.elements,
                          .offset = arguments[1].integer,
                          .shape = Integers(arguments[2]),
                          .strides = Integers(arguments[3])};
  if (tensor.shape.size() != tensor.strides.size()) {
    Fail("a tensor has " + std::to_string(tensor.shape.size()) + " axes and " +
         std::to_string(tensor.strides.size()) + " strides");
  }
  tensors_.push_back(std::move(tensor));
  return {.kind = Kind::kTensor, .index = tensors_.size() - 1};
}

std::vector<int64_t> Pickle::Integers(const Value& tuple) const {
  constexpr size_t kMaxRank = 16;
  if (tuple.kind != Kind::kTuple || items(tuple).size() > kMaxRank) {
    Fail("a tensor's shape or strides are not a tuple of at most 16 numbers");
  }
  std::vector<int64_t> integers;
  for (const Value& item : items(tuple)) {
    if (item.kind != Kind::kInt)
      Fail("a tensor's shape or strides hold something else than integers");
    integers.push_back(item.integer);
  }
  return integers;
}

}  // namespace proad::model

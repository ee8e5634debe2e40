// An interpreter for the pickles of PyTorch state dicts. It builds a tree of plain values and never
// runs Python code. It knows only these Python names: collections.OrderedDict,
// torch._utils._rebuild_tensor_v2, torch._utils._rebuild_parameter and the storage types.
//
// No LibTorch. Immutable after construction; safe to read from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/files/pickle_program.h"
#include "model/files/tensor_file.h"

namespace proad::model {

// A tensor as the pickle describes it. The numbers are not checked: they may be negative or too
// large.
struct PickledTensor {
  DType dtype = DType::kF32;
  std::string_view storage;      // key of the storage
  int64_t storage_elements = 0;  // of `dtype`
  int64_t offset = 0;            // elements
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // elements, as many as `shape`
};

class Pickle {
 public:
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kTuple,
    kList,
    kDict,
    kGlobal,
    kStorage,
    kTensor
  };

  // Cheap to copy: the Pickle owns the large parts and `index` refers to them. Copying or
  // destroying a value never recurses, so a hostile tree may be of any depth or contain itself.
  struct Value {
    Kind kind = Kind::kNone;
    union {
      int64_t integer = 0;  // kBool, kInt
      double number;        // kFloat
      size_t index;         // kTuple, kList, kDict, kGlobal, kStorage, kTensor
    };
    std::string_view text = {};  // kString
  };

  // Interprets the program. Strings are views of it, so it must outlive the Pickle. Throws
  // CorruptFile that names the byte, and the name or the instruction that is refused. Uses at most
  // a small multiple of the program's size in memory.
  Pickle(std::span<const std::byte> program, std::string source);

  const Value& root() const { return root_; }
  // The values of a tuple or list; for a dict: key, value, key, value, .. in insertion order.
  std::span<const Value> items(const Value& value) const { return sequences_[value.index]; }
  const PickledTensor& tensor(const Value& value) const { return tensors_[value.index]; }
  // All tensors, in the order of the program.
  const std::deque<PickledTensor>& tensors() const { return tensors_; }
  // Bytes of the program as far as its end; what follows is not part of it.
  size_t size() const { return program_.position(); }

 private:
  enum class Callable { kOrderedDict, kRebuildTensor, kRebuildParameter, kStorageType };
  struct Global {
    Callable callable;
    DType dtype;  // of kStorageType
  };
  struct Storage {
    DType dtype;
    std::string_view key;
    int64_t elements;
  };

  [[noreturn]] void Fail(const std::string& message) const { program_.Fail(message); }

  // The stack.
  void Push(Value value);
  void PushInt(int64_t value) { Push({.kind = Kind::kInt, .integer = value}); }
  void PushBool(bool value) { Push({.kind = Kind::kBool, .integer = value}); }
  void PushText(std::string_view text) { Push({.kind = Kind::kString, .text = text}); }
  void PushSequence(Kind kind, std::vector<Value> values);
  Value Pop();
  Value PopKind(Kind kind, const char* what);
  std::vector<Value> PopToMark();
  std::vector<Value> PopCount(size_t count);

  // The instructions.
  void Run();
  bool RunScalar(uint8_t instruction);
  bool RunContainer(uint8_t instruction);
  bool RunMemo(uint8_t instruction);
  bool RunObject(uint8_t instruction);
  void Extend(Kind kind, const std::vector<Value>& values);
  void PushGlobal(std::string_view module, std::string_view name);
  void Call();
  void SetState();
  void PushStorage();
  Value RebuildTensor(std::span<const Value> arguments);
  std::vector<int64_t> Integers(const Value& tuple) const;

  PickleProgram program_;
  std::vector<Value> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint64_t, Value> memo_;
  std::deque<std::vector<Value>> sequences_;
  std::deque<Global> globals_;
  std::deque<Storage> storages_;
  std::deque<PickledTensor> tensors_;
  Value root_;
};

}  // namespace proad::model

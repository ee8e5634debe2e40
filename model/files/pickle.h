// A machine for the pickles of PyTorch state dicts. It builds a tree of plain values and runs
// nothing: of Python's names it knows collections.OrderedDict, torch._utils._rebuild_tensor_v2,
// torch._utils._rebuild_parameter and the storage types, and gives each its one meaning here.
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

// A tensor as the pickle describes it, unchecked but for its types: numbers may be negative or
// absurd.
struct PickledTensor {
  DType dtype = DType::kF32;
  std::string_view storage;      // key of the archive's entry data/<key>
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

  // A value is copied freely: what is large lies in the Pickle, found by `index`. So a hostile tree
  // of any depth, or one that contains itself, is neither copied nor destroyed by recursion.
  struct Value {
    Kind kind = Kind::kNone;
    union {
      int64_t integer = 0;  // kBool, kInt
      double number;        // kFloat
      size_t index;         // kTuple, kList, kDict, kGlobal, kStorage, kTensor
    };
    std::string_view text = {};  // kString
  };

  // Runs the program. Strings stay views of it. Throws CorruptFile naming the byte, and the name or
  // the instruction that is refused. Memory is at most a small multiple of the program's size.
  Pickle(std::span<const std::byte> program, std::string source);

  const Value& root() const { return root_; }
  // Of a tuple or list: its values. Of a dict: key, value, key, value, .. in the order they were
  // set.
  std::span<const Value> items(const Value& value) const { return sequences_[value.index]; }
  const PickledTensor& tensor(const Value& value) const { return tensors_[value.index]; }

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

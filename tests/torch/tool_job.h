// The protocol of the tools in this folder: each line of standard input is a job of words
// name=value; the answer is one line, "ok" and a result, or "error" and a message.
//
// Every tool takes the options of ModelConfig: preset decoder_layers groups input_height input_width
// position_resize=official|lineage, and adaptive_noisy_bottleneck, dynamic_decoder,
// prototype_constraint = 0|1. Thread-safety: belongs to one thread.
#pragma once

#include <torch/types.h>

#include <functional>
#include <map>
#include <string>

#include "model/files/tensor_file.h"
#include "model/spec/config.h"

namespace proad::model::testing {

using Options = std::map<std::string, std::string>;

// Takes an option out, so that what is left over at the end is unknown.
std::string Take(Options& options, const std::string& name, const std::string& otherwise = "");

// Throws std::invalid_argument naming an option that nobody took.
void RefuseRest(const Options& options);

ModelConfig TakeConfig(Options& options);

// Throws std::invalid_argument where the file's tensor is of another type.
torch::Tensor CopyTensor(const TensorView& view, at::ScalarType type);

// As safetensors: float64 as it is, everything else as float32.
void Write(const std::string& path, std::map<std::string, torch::Tensor> tensors);

// Answers every line of the standard input with the result of `job`, or the message of what it
// threw.
void AnswerJobs(const std::function<std::string(Options)>& job);

}  // namespace proad::model::testing

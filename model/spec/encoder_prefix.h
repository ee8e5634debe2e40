// The prefix that a class around an encoder puts before the names of its tensors, for example
// "teacher.backbone." or "module.".
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/files/tensor_file.h"

namespace proad::model {

// The prefixes of the tensors named `mark`, in the order of the names: "", or a text that ends with
// a dot. A prefix counts if some name begins with it and `blocks`.
std::vector<std::string> EncoderPrefixes(const TensorFile& file, std::string_view mark,
                                         std::string_view blocks);

// The only prefix, or "" if it is one of them, or the only one of a teacher: self-distillation saves
// a student and a teacher, and the teacher is the encoder to use. Throws InvalidInput (field
// "encoder", reason ENCODER_UNKNOWN) that lists the prefixes if several could be meant.
std::string ChoosePrefix(const std::string& source, const std::vector<std::string>& prefixes);

// The prefix that all names share, if there is one, and the first names behind it, for a message.
std::string DescribeNames(const TensorFile& file);

}  // namespace proad::model

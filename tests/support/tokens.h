// Tokens for tests, and the table of them.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/token_table.h"

namespace proad::server {

inline constexpr char kDetectToken[] = "proad_detect-token-of-the-tests";
inline constexpr char kTrainToken[] = "proad_train-token-of-the-tests";
inline constexpr char kAdminToken[] = "proad_admin-token-of-the-tests";

// A line of a file of tokens.
inline std::string TokenLine(const std::string& name, Role role, const std::string& token) {
  return absl::StrCat(name, " ", NameOf(role), " ", TokenTable::DigestOf(token), "\n");
}

// One of each role.
inline std::string TokenLines() {
  return absl::StrCat("# of the tests\n\n", TokenLine("line-4", Role::kDetect, kDetectToken),
                      TokenLine("mlops", Role::kTrain, kTrainToken),
                      TokenLine("ops", Role::kAdmin, kAdminToken));
}

}  // namespace proad::server

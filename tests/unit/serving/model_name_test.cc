#include "server/serving/model_name.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace proad::server {
namespace {

TEST(ModelName, ParsesNamesWithAndWithoutVersion) {
  EXPECT_EQ(ModelName::Parse("pcb")->name, "pcb");
  EXPECT_EQ(ModelName::Parse("pcb")->version, "");
  EXPECT_EQ(ModelName::Parse("pcb@1.2")->name, "pcb");
  EXPECT_EQ(ModelName::Parse("pcb@1.2")->version, "1.2");
  EXPECT_EQ(FullName("pcb", "1.2"), "pcb@1.2");
}

TEST(VersionLess, OrdersNumbersByValue) {
  const std::vector<std::string> ordered = {"01",
                                            "1",
                                            "2",
                                            "9",
                                            "10",
                                            "1000",
                                            "20000000000000000000000",
                                            "20000000000000000000001",
                                            "a",
                                            "a-2",
                                            "a-10",
                                            "a-10.1",
                                            "b"};
  for (size_t i = 0; i < ordered.size(); ++i) {
    for (size_t k = 0; k < ordered.size(); ++k) {
      EXPECT_EQ(VersionLess(ordered[i], ordered[k]), i < k) << ordered[i] << " < " << ordered[k];
    }
  }
}

}  // namespace
}  // namespace proad::server

#include "server/util/exception_status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "model/files/error.h"
#include "model/spec/non_finite_loss.h"
#include "server/util/file_errors.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

TranslatedException Translate(const std::function<void()>& raise) {
  try {
    raise();
  } catch (...) {
    return TranslateCurrentException();
  }
  return {ExceptionKind::kUnknown, absl::OkStatus()};
}

struct Case {
  const char* name;
  std::function<void()> raise;
  ExceptionKind kind;
  absl::StatusCode code;
  const char* reason;
  const char* field = "";
};

class ExceptionStatusTest : public ::testing::TestWithParam<Case> {};

TEST_P(ExceptionStatusTest, HasOneCodeAndOneReason) {
  const TranslatedException error = Translate(GetParam().raise);
  EXPECT_EQ(error.kind, GetParam().kind);
  EXPECT_EQ(error.status.code(), GetParam().code) << error.status;
  EXPECT_EQ(GetDetails(error.status).reason, GetParam().reason);
  EXPECT_EQ(GetDetails(error.status).field, GetParam().field);
  EXPECT_NE(error.status.message(), "");
}

void RaiseFileError(int error_number) { throw model::FileError("a.bin", "write", error_number); }

INSTANTIATE_TEST_SUITE_P(
    Exceptions, ExceptionStatusTest,
    ::testing::Values(
        Case{"InvalidInput",
             [] { throw model::InvalidInput("frame.stride", "FRAME_SIZE_MISMATCH", "is 3"); },
             ExceptionKind::kInvalidInput, absl::StatusCode::kInvalidArgument,
             reason::kFrameSizeMismatch, "frame.stride"},
        Case{"InvalidImage",
             [] { throw model::InvalidImage("encoded", "IMAGE_EMPTY", "no bytes"); },
             ExceptionKind::kInvalidImage, absl::StatusCode::kInvalidArgument, reason::kImageEmpty,
             "encoded"},
        Case{"UnreadableImage", [] { throw model::UnreadableImage("dataset", "a.png is empty"); },
             ExceptionKind::kInvalidImage, absl::StatusCode::kInvalidArgument,
             reason::kUnreadableImage, "dataset"},
        Case{"DatasetChanged", [] { throw model::DatasetChanged("dataset", "has other images"); },
             ExceptionKind::kDatasetChanged, absl::StatusCode::kInvalidArgument,
             reason::kDatasetChanged, "dataset"},
        Case{"NonFiniteScore", [] { throw model::NonFiniteScore("scores", "score 0 is nan"); },
             ExceptionKind::kNonFiniteScore, absl::StatusCode::kInvalidArgument,
             reason::kScoreNotFinite, "scores"},
        Case{"NonFiniteLoss", [] { throw model::NonFiniteLoss(7, 0.1, "loss"); },
             ExceptionKind::kNonFiniteLoss, absl::StatusCode::kInternal, reason::kNonFiniteLoss},
        Case{"CorruptFile", [] { throw model::CorruptFile("a.bin", "is truncated"); },
             ExceptionKind::kCorruptFile, absl::StatusCode::kDataLoss, reason::kArtifactCorrupt},
        Case{"FullDisk", [] { RaiseFileError(ENOSPC); }, ExceptionKind::kDiskFull,
             absl::StatusCode::kResourceExhausted, reason::kDiskFull},
        Case{"FullQuota", [] { RaiseFileError(EDQUOT); }, ExceptionKind::kDiskFull,
             absl::StatusCode::kResourceExhausted, reason::kDiskFull},
        Case{"FileSizeLimit", [] { RaiseFileError(EFBIG); }, ExceptionKind::kDiskFull,
             absl::StatusCode::kResourceExhausted, reason::kDiskFull},
        Case{"NoMemoryForAFile", [] { RaiseFileError(ENOMEM); }, ExceptionKind::kOutOfMemory,
             absl::StatusCode::kResourceExhausted, reason::kOutOfMemory},
        Case{"TooManyFiles", [] { RaiseFileError(EMFILE); }, ExceptionKind::kFile,
             absl::StatusCode::kResourceExhausted, reason::kFileError},
        Case{"MissingFile", [] { RaiseFileError(ENOENT); }, ExceptionKind::kFile,
             absl::StatusCode::kNotFound, reason::kFileError},
        Case{"ForbiddenFile", [] { RaiseFileError(EACCES); }, ExceptionKind::kFile,
             absl::StatusCode::kPermissionDenied, reason::kFileError},
        Case{"DiskFault", [] { RaiseFileError(EIO); }, ExceptionKind::kFile,
             absl::StatusCode::kInternal, reason::kFileError},
        Case{"FilesystemError",
             [] {
               throw std::filesystem::filesystem_error(
                   "copy", std::error_code(ENOSPC, std::generic_category()));
             },
             ExceptionKind::kDiskFull, absl::StatusCode::kResourceExhausted, reason::kDiskFull},
        Case{"BadAlloc", [] { throw std::bad_alloc(); }, ExceptionKind::kOutOfMemory,
             absl::StatusCode::kResourceExhausted, reason::kOutOfMemory},
        Case{"OtherException", [] { throw std::runtime_error("no luck"); }, ExceptionKind::kUnknown,
             absl::StatusCode::kInternal, ""},
        Case{"UnknownType", [] { throw 7; }, ExceptionKind::kUnknown, absl::StatusCode::kInternal,
             ""}),
    [](const auto& param) { return std::string(param.param.name); });

// The same fault has the same code and reason, whether model/ or the server finds it.
TEST(FileErrorsTest, AgreeWithTheExceptionOfTheSameErrno) {
  for (const int number : {ENOENT, ENOTDIR, EACCES, EPERM, EROFS, ENOSPC, EDQUOT, EFBIG, EMFILE,
                           ENFILE, ENOMEM, EIO, EBADF}) {
    const absl::Status own = FileFailed("a.bin", "write", number);
    const absl::Status thrown = Translate([number] { RaiseFileError(number); }).status;
    EXPECT_EQ(own.code(), thrown.code()) << number;
    EXPECT_EQ(own.message(), thrown.message()) << number;
    EXPECT_EQ(GetDetails(own).reason, GetDetails(thrown).reason) << number;
  }
}

}  // namespace
}  // namespace proad::server

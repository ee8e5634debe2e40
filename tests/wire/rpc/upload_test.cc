// UploadDataset over gRPC: datasets that come whole, in parts, broken off and wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/synchronization/mutex.h"
#include "model/files/sha256.h"
#include "tests/support/sync.h"
#include "tests/support/training_server.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::ReadText;
using testing::SmallBmp;

using grpc::StatusCode;
using Request = v1::UploadDatasetRequest;

Request StartOf(const std::string& id, uint64_t bytes = 0, uint64_t files = 0) {
  Request request;
  request.mutable_start()->set_dataset_id(id);
  request.mutable_start()->set_total_bytes(bytes);
  request.mutable_start()->set_total_files(files);
  return request;
}

Request FileOf(const std::string& path, const std::string& content) {
  Request request;
  request.mutable_file()->set_path(path);
  request.mutable_file()->set_size_bytes(content.size());
  request.mutable_file()->set_sha256(absl::HexStringToBytes(model::Sha256Hex(content)));
  return request;
}

Request ChunkOf(const std::string& bytes) {
  Request request;
  request.set_chunk(bytes);
  return request;
}

Request FinishOf(uint64_t files) {
  Request request;
  request.mutable_finish()->set_files(files);
  return request;
}

// One call.
class Upload {
 public:
  explicit Upload(TrainingServer& server)
      : stream_(server.training->UploadDataset(&context_, &response_)) {}

  // False when the server has ended the call.
  bool Send(const Request& request) { return stream_->Write(request); }
  bool SendFile(const std::string& path, const std::string& content) {
    return Send(FileOf(path, content)) && (content.empty() || Send(ChunkOf(content)));
  }
  void Cancel() { context_.TryCancel(); }
  // Closes the sending side and waits for the end.
  grpc::Status End() {
    Close();
    return AwaitEnd();
  }
  void Close() { stream_->WritesDone(); }
  // Waits for the end without closing.
  grpc::Status AwaitEnd() { return stream_->Finish(); }

  const v1::UploadDatasetResponse& response() const { return response_; }

 private:
  grpc::ClientContext context_;
  v1::UploadDatasetResponse response_;
  std::unique_ptr<grpc::ClientWriter<Request>> stream_;
};

class UploadTest : public ::testing::Test {
 protected:
  void Start() { server_.Start(); }

  // Sends messages until the server ends the call, and returns how it ended.
  grpc::Status SendAll(const std::vector<Request>& requests,
                       v1::UploadDatasetResponse* response = nullptr) {
    Upload upload(server_);
    for (const Request& request : requests) {
      if (!upload.Send(request)) break;
    }
    const grpc::Status status = upload.End();
    if (response != nullptr) *response = upload.response();
    return status;
  }

  // What the server has of a dataset, as a client asks who lost its connection.
  v1::UploadDatasetResponse Ask(const std::string& id) {
    v1::UploadDatasetResponse response;
    const grpc::Status status = SendAll({StartOf(id)}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  // Ask, until no other stream has the dataset: one that was broken off ends in its own time.
  v1::UploadDatasetResponse AskWhenFree(const std::string& id) {
    v1::UploadDatasetResponse response;
    grpc::Status status;
    do {
      status = SendAll({StartOf(id)}, &response);
    } while (status.error_code() == StatusCode::ABORTED);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  static void ExpectRefused(const grpc::Status& status, StatusCode code, const std::string& field,
                            const std::string& words) {
    ASSERT_FALSE(status.ok()) << words;
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_EQ(FieldOf(DetailsOf(status)), field) << status.error_message();
    EXPECT_NE(ReasonOf(DetailsOf(status)), "");
    EXPECT_THAT(status.error_message(), HasSubstr(words));
  }

  fs::path Files(const std::string& id) const { return server_.root / "datasets" / id / id; }

  TrainingServer server_;
};

TEST_F(UploadTest, AJobTrainsOnWhatWasUploaded) {
  Start();
  Upload upload(server_);
  ASSERT_TRUE(upload.Send(StartOf("brake-pads")));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(upload.SendFile(absl::StrCat("train/good/", 100 + i, ".bmp"), SmallBmp()));
  }
  ASSERT_TRUE(upload.Send(FinishOf(20)));
  const grpc::Status status = upload.AwaitEnd();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(upload.response().dataset_id(), "brake-pads");
  EXPECT_TRUE(upload.response().complete());
  EXPECT_EQ(upload.response().files(), 20u);
  EXPECT_EQ(upload.response().size_bytes(), 20 * SmallBmp().size());
  EXPECT_EQ(upload.response().last_path(), "train/good/119.bmp");
  EXPECT_GT(upload.response().expire_time().seconds(), absl::ToUnixSeconds(absl::Now()));

  v1::TrainJobSpec spec = TrainingServer::Spec();
  spec.set_dataset_id("brake-pads");
  v1::TrainJob job;
  const grpc::Status created = server_.Create(spec, job);
  ASSERT_TRUE(created.ok()) << created.error_message();
  EXPECT_EQ(job.spec().dataset_id(), "brake-pads");
  EXPECT_EQ(job.spec().dataset_path(), "");
  EXPECT_EQ(job.spec().categories(0), "brake-pads") << "a plain folder is one category";
  EXPECT_EQ(server_.AwaitEnd(job.job_id()).state(), v1::TRAIN_JOB_STATE_SUCCEEDED);

  ExpectRefused(SendAll({StartOf("brake-pads")}), StatusCode::ALREADY_EXISTS, "start.dataset_id",
                "complete");
}

TEST_F(UploadTest, AnIncompleteDatasetIsNotTrainedOn) {
  Start();
  ASSERT_TRUE(SendAll({StartOf("parts"), FileOf("a.bmp", ""), FileOf("b.bmp", "")}).ok());
  v1::TrainJobSpec spec = TrainingServer::Spec();
  spec.set_dataset_id("parts");
  v1::TrainJob job;
  ExpectRefused(server_.Create(spec, job), StatusCode::FAILED_PRECONDITION, "spec.dataset_id",
                "not complete");
  spec.set_dataset_id("gravel");
  ExpectRefused(server_.Create(spec, job), StatusCode::NOT_FOUND, "spec.dataset_id", "parts");
}

TEST_F(UploadTest, ABrokenStreamGoesOnAfterTheLastWholeFile) {
  Start();
  {
    Upload upload(server_);
    ASSERT_TRUE(upload.Send(StartOf("parts", 9, 3)));
    ASSERT_TRUE(upload.SendFile("a.png", "one"));
    ASSERT_TRUE(upload.SendFile("b/ä.png", "two"));
    ASSERT_TRUE(upload.Send(FileOf("b/ö.png", "three")));
    ASSERT_TRUE(upload.Send(ChunkOf("th")));
    // Whole files may still be on their way when the client is gone.
    AwaitTrue("b/ä.png of the upload", [&] { return fs::exists(Files("parts") / "b/ä.png"); });
    upload.Cancel();
    EXPECT_EQ(upload.AwaitEnd().error_code(), StatusCode::CANCELLED);
  }
  v1::UploadDatasetResponse have = AskWhenFree("parts");
  EXPECT_FALSE(have.complete());
  EXPECT_EQ(have.files(), 2u);
  EXPECT_EQ(have.size_bytes(), 6u);
  EXPECT_EQ(have.last_path(), "b/ä.png");

  ASSERT_TRUE(SendAll({StartOf("parts", 11, 3), FileOf("b/ö.png", "three"), ChunkOf("th"),
                       ChunkOf(""), ChunkOf("ree"), FinishOf(3)},
                      &have)
                  .ok());
  EXPECT_TRUE(have.complete());
  EXPECT_EQ(have.files(), 3u);
  EXPECT_EQ(ReadText(Files("parts") / "b/ö.png"), "three");
}

TEST_F(UploadTest, WhatIsWrongEndsTheStreamAndWhatWasWholeStays) {
  Start();
  const std::string large(5, 'x');
  Request wrong_digest = FileOf("b.png", "two");
  wrong_digest.mutable_file()->set_sha256(std::string(32, 'x'));
  Request short_digest = FileOf("b.png", "two");
  short_digest.mutable_file()->set_sha256("x");
  struct Case {
    std::vector<Request> requests;  // after start and one whole file, a.png
    std::string field;
    std::string words;
  };
  const std::vector<Case> cases = {
      {{Request()}, "part", "is not set"},
      {{StartOf("parts")}, "start", "first message"},
      {{ChunkOf("x")}, "chunk", "no file"},
      {{ChunkOf(std::string((1 << 20) + 1, 'x'))}, "chunk", "1048576"},
      {{FileOf("/b.png", "two")}, "file.path", "empty part"},
      {{FileOf("../b.png", "two")}, "file.path", "leads elsewhere"},
      {{FileOf("b/../../c.png", "two")}, "file.path", "leads elsewhere"},
      {{FileOf(std::string("b\0.png", 6), "two")}, "file.path", "NUL"},
      {{FileOf("b//c.png", "two")}, "file.path", "empty part"},
      {{FileOf("", "two")}, "file.path", "1 to 512"},
      {{FileOf(std::string(600, 'b') + ".png", "two")}, "file.path", "1 to 512"},
      {{FileOf("b.exe", "two")}, "file.path", ".png"},
      {{FileOf("a.png", "two")}, "file.path", "ascending"},
      {{FileOf("A.png", "two")}, "file.path", "ascending"},
      {{FileOf("b.png", "two"), ChunkOf("twoo")}, "chunk", "longer"},
      {{FileOf("b.png", "two"), ChunkOf("tw"), FileOf("c.png", "")}, "file", "2 of 3"},
      {{FileOf("b.png", "two"), ChunkOf("tw"), FinishOf(1)}, "finish", "2 of 3"},
      {{wrong_digest, ChunkOf("two")}, "file.sha256", "b.png"},
      {{short_digest}, "file.sha256", "32"},
      {{FinishOf(2)}, "finish.files", "1 received"},
  };
  ASSERT_TRUE(SendAll({StartOf("parts"), FileOf("a.png", "one"), ChunkOf("one")}).ok());
  for (const Case& wrong : cases) {
    std::vector<Request> requests = {StartOf("parts")};
    requests.insert(requests.end(), wrong.requests.begin(), wrong.requests.end());
    SCOPED_TRACE(absl::StrCat(wrong.field, ": ", wrong.words));
    ExpectRefused(SendAll(requests), StatusCode::INVALID_ARGUMENT, wrong.field, wrong.words);
    EXPECT_EQ(Ask("parts").last_path(), "a.png");
  }
  EXPECT_TRUE(SendAll({StartOf("parts"), FinishOf(1)}).ok());
}

TEST_F(UploadTest, AStreamBeginsWithItsStart) {
  Start();
  ExpectRefused(SendAll({}), StatusCode::INVALID_ARGUMENT, "start", "first message");
  for (const Request& first : {FileOf("a.png", ""), ChunkOf("x"), FinishOf(0)}) {
    ExpectRefused(SendAll({first}), StatusCode::INVALID_ARGUMENT, "start", "first message");
  }
  for (const char* id : {"", "..", "a/b", "UPPER", ".hidden"}) {
    ExpectRefused(SendAll({StartOf(id)}), StatusCode::INVALID_ARGUMENT, "start.dataset_id",
                  "not a name");
  }
}

TEST_F(UploadTest, LimitsAreStatedBeforeAnythingIsSent) {
  DatasetStore::Options& limits = server_.config.training.datasets;
  limits.max_files = 2;
  limits.max_file_bytes = 10;
  limits.max_dataset_bytes = 15;
  Start();
  const std::string ten(10, 'x');
  Request huge = FileOf("c.png", "");
  huge.mutable_file()->set_size_bytes(~uint64_t{0});
  const std::vector<std::pair<std::vector<Request>, std::string>> cases = {
      {{StartOf("parts", 16)}, "15 bytes"},
      {{StartOf("parts", 0, 3)}, "2 files"},
      {{StartOf("parts", ~uint64_t{0}, ~uint64_t{0})}, "15 bytes"},
      {{StartOf("parts"), FileOf("a.png", ten + "x")}, "at most 10"},
      {{StartOf("parts"), huge}, "at most 10"},
      {{StartOf("parts"), FileOf("a.png", ten), ChunkOf(ten), FileOf("b.png", ten)}, "15 bytes"},
      {{StartOf("parts"), FileOf("b.png", ""), FileOf("c.png", "")}, "2 files"},
  };
  for (const auto& [requests, words] : cases) {
    ExpectRefused(SendAll(requests), StatusCode::RESOURCE_EXHAUSTED, "", words);
  }
}

TEST_F(UploadTest, AFullDiskIsSaid) {
  server_.config.training.datasets.min_free_bytes = int64_t{1} << 50;
  Start();
  const grpc::Status status = SendAll({StartOf("parts")});
  ExpectRefused(status, StatusCode::RESOURCE_EXHAUSTED, "", "free");
  EXPECT_EQ(ReasonOf(DetailsOf(status)), "DISK_FULL");
}

TEST_F(UploadTest, OneStreamADatasetAndSoManyAtOnce) {
  server_.config.training.datasets.max_uploads = 2;
  Start();
  Upload first(server_), second(server_);
  for (const auto& [upload, id] : {std::pair(&first, "first"), {&second, "second"}}) {
    ASSERT_TRUE(upload->Send(StartOf(id)) && upload->SendFile("a.png", "one"));
    const fs::path file = Files(id) / "a.png";
    AwaitTrue("a.png of the upload", [&] { return fs::exists(file); });
  }
  ExpectRefused(SendAll({StartOf("first")}), StatusCode::ABORTED, "start.dataset_id",
                "another stream");
  const grpc::Status third = SendAll({StartOf("third")});
  ExpectRefused(third, StatusCode::RESOURCE_EXHAUSTED, "", "2 uploads");
  EXPECT_TRUE(DetailsOf(third).details_size() > 1) << "says when to try again";
  ASSERT_TRUE(first.End().ok());
  EXPECT_EQ(first.response().last_path(), "a.png");
  EXPECT_TRUE(SendAll({StartOf("third")}).ok());
  EXPECT_TRUE(second.End().ok());
}

TEST_F(UploadTest, StreamsThatNeverBeginDoNotPileUp) {
  server_.config.training.datasets.max_uploads = 1;
  Start();
  // Two are taken in and wait for their first message; whichever come later are refused unasked.
  constexpr size_t kStreams = 5, kRefused = 3;
  std::vector<std::unique_ptr<Upload>> idle;
  for (size_t i = 0; i < kStreams; ++i) idle.push_back(std::make_unique<Upload>(server_));
  absl::Mutex mutex;
  std::vector<grpc::Status> refused;
  size_t never_begun = 0;
  std::vector<std::thread> waiting;
  for (const auto& upload : idle) {
    waiting.emplace_back([&, stream = upload.get()] {
      const grpc::Status status = stream->AwaitEnd();
      absl::MutexLock lock(&mutex);
      if (status.error_code() == StatusCode::INVALID_ARGUMENT) {
        ++never_begun;
      } else {
        refused.push_back(status);
      }
    });
  }
  {
    absl::MutexLock lock(&mutex);
    const auto all_refused = [&] { return refused.size() == kRefused; };
    ASSERT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&all_refused), kWaitLimit))
        << "waited for " << kRefused << " refused streams, of which " << refused.size() << " came";
  }
  for (const auto& upload : idle) upload->Close();
  for (std::thread& thread : waiting) thread.join();
  EXPECT_EQ(never_begun, kStreams - kRefused);
  for (const grpc::Status& status : refused) {
    ExpectRefused(status, StatusCode::RESOURCE_EXHAUSTED, "", "1 uploads at once");
  }
}

TEST_F(UploadTest, AServerThatDrainsKeepsWhatIsWhole) {
  Start();
  {
    Upload upload(server_);
    ASSERT_TRUE(upload.Send(StartOf("parts")));
    ASSERT_TRUE(upload.SendFile("a.png", "one"));
    ASSERT_TRUE(upload.Send(FileOf("b.png", "two")));
    AwaitTrue("a.png of the upload", [&] { return fs::exists(Files("parts") / "a.png"); });
    server_.Stop();
    const grpc::Status status = upload.AwaitEnd();
    EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_EQ(ReasonOf(DetailsOf(status)), "DRAINING");
  }
  Start();
  EXPECT_EQ(Ask("parts").last_path(), "a.png");
  EXPECT_TRUE(
      SendAll({StartOf("parts"), FileOf("b.png", "two"), ChunkOf("two"), FinishOf(2)}).ok());
}

TEST_F(UploadTest, AFileMayBeLargerThanAMessage) {
  Start();
  std::string content;
  for (int i = 0; i < 5; ++i) content += std::string(1 << 20, static_cast<char>('a' + i));
  std::vector<Request> requests = {StartOf("parts"), FileOf("a.tiff", content)};
  for (int i = 0; i < 5; ++i) requests.push_back(ChunkOf(content.substr(size_t{1} << 20, 1 << 20)));
  ExpectRefused(SendAll(requests), StatusCode::INVALID_ARGUMENT, "file.sha256", "SHA-256");
  requests.resize(2);
  for (size_t i = 0; i < 5; ++i) requests.push_back(ChunkOf(content.substr(i << 20, 1 << 20)));
  requests.push_back(FinishOf(1));
  ASSERT_TRUE(SendAll(requests).ok());
  EXPECT_EQ(ReadText(Files("parts") / "a.tiff"), content);
}

}  // namespace
}  // namespace proad::server

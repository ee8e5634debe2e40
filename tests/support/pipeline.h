// The path of an image below gRPC, over fake models: catalog, admission, pool, batcher,
// workers, detector.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/batching/admission.h"
#include "server/batching/detector.h"
#include "server/batching/dynamic_batcher.h"
#include "server/batching/output_budget.h"
#include "server/batching/worker_pool.h"
#include "server/serving/model_serving.h"
#include "server/serving/model_store.h"
#include "server/telemetry/metrics.h"
#include "server/util/thread_pool.h"
#include "tests/support/fake_model.h"

namespace proad::server {

// A store on disk that holds the manifests of fake models and nothing else.
class FakeStore {
 public:
  explicit FakeStore(std::vector<std::shared_ptr<FakeModel>> models) : models_(std::move(models)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "proad-store-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    root_ = pattern;
    for (const auto& model : models_) {
      model::Manifest manifest = model->manifest();
      manifest.created = "2026-11-23T12:00:00Z";
      manifest.encoder = {"fake.safetensors", std::string(64, '0'), "official"};
      manifest.preprocessing = {};  // a store holds real networks; the fake one is smaller
      const std::filesystem::path directory = root_ / manifest.name / manifest.version;
      std::filesystem::create_directories(directory);
      std::ofstream(directory / model::kManifestFile) << model::ToJson(manifest);
      model->SetHash(model::ReadManifest(directory).hash);
    }
  }
  ~FakeStore() { std::filesystem::remove_all(root_); }
  FakeStore(const FakeStore&) = delete;
  FakeStore& operator=(const FakeStore&) = delete;

  const std::filesystem::path& root() const { return root_; }

  ModelLoader loader() const {
    return
        [models = models_](const std::filesystem::path& directory) -> absl::StatusOr<ModelHandle> {
          for (const auto& model : models) {
            if (directory.filename() == model->manifest().version &&
                directory.parent_path().filename() == model->manifest().name) {
              return ModelHandle(model);
            }
          }
          return absl::NotFoundError(directory.string());
        };
  }

 private:
  const std::vector<std::shared_ptr<FakeModel>> models_;
  std::filesystem::path root_;
};

struct PipelineOptions {
  Detector::Options detector;
  Admission::Options admission;
  OutputBudget::Options output;
  DynamicBatcher::Options batching;
  int pool_threads = 2;
  WorkerPool::Options workers;
  std::string default_model = "fake";
};

// Everything up and serving when constructed; answers everything before it is gone.
class Pipeline {
 public:
  explicit Pipeline(
      PipelineOptions options = {},
      std::vector<std::shared_ptr<FakeModel>> models = {std::make_shared<FakeModel>()})
      : model(models.front()),
        store_files_(std::move(models)),
        store_(store_files_.root()),
        serving({.default_model = options.default_model}, store_, store_files_.loader(), metrics),
        admission(options.admission, metrics),
        output_budget(options.output, metrics),
        batcher(options.batching, metrics),
        pool({.name = "preprocess", .threads = options.pool_threads}),
        detector(options.detector, serving.catalog, admission, output_budget, pool, batcher,
                 metrics),
        workers(options.workers, "cpu", batcher, metrics) {
    if (!serving.scanner.Scan().ok()) std::abort();
    serving.follower.LoadActive([] {});
  }
  ~Pipeline() {
    model->Release();
    detector.Drain();
    admission.AwaitIdle(absl::InfiniteFuture());
    batcher.Close();
    workers.Stop();
    pool.Stop();
  }

  const std::shared_ptr<FakeModel> model;  // the first
  Metrics metrics;

 private:
  FakeStore store_files_;
  ModelStore store_;

 public:
  ModelServing serving;
  Admission admission;
  OutputBudget output_budget;
  DynamicBatcher batcher;
  ThreadPool pool;
  Detector detector;
  WorkerPool workers;
};

}  // namespace proad::server

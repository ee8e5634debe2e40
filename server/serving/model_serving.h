// The parts that serve models, connected to each other.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/serving/memory_room.h"
#include "server/serving/model_catalog.h"
#include "server/serving/model_lifecycle.h"
#include "server/serving/model_store.h"
#include "server/serving/pointer_follower.h"
#include "server/serving/servable_model.h"
#include "server/serving/store_scanner.h"
#include "server/serving/version_loader.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// Each part has its own thread-safety. The store and the metrics must outlive it.
struct ModelServing {
  struct Options {
    // Answers requests that name no model. "": the model of the store when it has exactly one.
    std::string default_model;
    // As VersionLoader::Options.
    int64_t memory_reserve = VersionLoader::Options().memory_reserve;
    std::vector<MemoryPlace> memory = VersionLoader::Options().memory;
    // Between two looks at the store's pointers; zero: never.
    absl::Duration follow_interval = absl::Seconds(2);
  };

  ModelServing(const Options& options, const ModelStore& store, ModelLoader load, Metrics& metrics)
      : catalog(options.default_model),
        scanner(store, catalog, metrics),
        loader({.memory_reserve = options.memory_reserve, .memory = options.memory}, store,
               std::move(load), catalog, metrics),
        lifecycle(store, scanner, catalog, loader, metrics),
        follower(store, scanner, catalog, loader, lifecycle) {}
  ModelServing(const ModelServing&) = delete;
  ModelServing& operator=(const ModelServing&) = delete;

  ModelCatalog catalog;
  StoreScanner scanner;
  VersionLoader loader;
  ModelLifecycle lifecycle;
  PointerFollower follower;
};

}  // namespace proad::server

// The LibTorch part of a Rendezvous, for rendezvous.cc and process_group.cc. Thread-safety: as
// Rendezvous.
#pragma once

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "model/training/rendezvous.h"

namespace proad::model {

struct Rendezvous::Store {
  Membership membership;
  c10::intrusive_ptr<c10d::TCPStore> store;
};

}  // namespace proad::model

// The network that a run trains: initialised, with its frozen encoder, and on the right device.
//
// Pure functions of the specification and the files that it names, except that NewTrainSubject
// draws random numbers from LibTorch's generator. Safe to call from any thread.
#pragma once

#include <torch/types.h>

#include <string>

#include "model/network/pro_ad.h"
#include "model/picture/preprocess.h"
#include "model/spec/manifest.h"
#include "model/spec/train_spec.h"

namespace proad::model {

class Rendezvous;

struct TrainSubject {
  ProAd model{nullptr};
  Preprocessing preprocessing;
  EncoderIdentity encoder;
  std::string init_from;  // "name@version"; "": new weights
};

// The network on the CPU, with the encoder of the specification, and with new weights or those of
// spec.init_from. Throws InvalidInput (field "init_from", reason INIT_FROM_MISMATCH, for a version
// of another network or encoder), and as ImportEncoder and LoadCheckpoint.
TrainSubject NewTrainSubject(const TrainSpec& spec);

// The device of this process. Each of several processes on one machine has its own GPU.
// `processes`: null for one process. Throws as ResolveDevice.
torch::Device DeviceOf(const TrainSpec& spec, const Rendezvous* processes);

}  // namespace proad::model

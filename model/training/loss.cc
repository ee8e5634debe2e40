#include "model/training/loss.h"

#include <ATen/ATen.h>

#include <vector>

namespace proad::model {
namespace {

constexpr double kCosineEps = 1e-8;

// Eq. 10, (d / mean d)^tau. encoder, decoder: [B, h, w, C] -> [B, h, w, 1], without gradient
torch::Tensor MiningFactor(const torch::Tensor& encoder, const torch::Tensor& decoder, double tau,
                           const ProcessGroup& processes) {
  const torch::NoGradGuard no_grad;
  // Rounding can make a distance of 0 negative, for which pow is NaN.
  const torch::Tensor distance =
      (1 - at::cosine_similarity(encoder, decoder, /*dim=*/3, kCosineEps)).clamp_min(0);
  const torch::Tensor mean = processes.Mean(distance.mean());
  return (distance / mean.clamp_min(kCosineEps)).pow(tau).unsqueeze(3);
}

// One group's term of eq. 11 for each image. encoder, decoder: [B, h, w, C] -> [B]
torch::Tensor GroupLoss(const torch::Tensor& encoder, const torch::Tensor& decoder, double tau,
                        const ProcessGroup& processes) {
  const torch::Tensor factor = MiningFactor(encoder, decoder, tau, processes);
  // D' = w D + stopgrad((1 - w) D), rearranged so that the value of D' is exactly D.
  const torch::Tensor constant = decoder.detach();
  const torch::Tensor mined = constant + factor * (decoder - constant);
  return 1 - at::cosine_similarity(encoder.flatten(1), mined.flatten(1), /*dim=*/1, kCosineEps);
}

// In half precision the cosine of two nearly equal directions is inaccurate.
torch::Tensor AtLeastFloat(const torch::Tensor& tensor) {
  return tensor.to(at::promote_types(tensor.scalar_type(), at::kFloat));
}

}  // namespace

torch::Tensor ReconstructionLoss(const Reconstruction& reconstruction, double tau,
                                 const ProcessGroup& processes) {
  const auto& encoder = reconstruction.encoder_groups;
  const auto& decoder = reconstruction.decoder_groups;
  TORCH_CHECK(tau >= 0, "tau must be at least 0, got ", tau);
  TORCH_CHECK(!encoder.empty() && encoder.size() == decoder.size(), "a reconstruction has ",
              encoder.size(), " encoder groups and ", decoder.size(),
              " decoder groups; expected the same number of both, at least one");
  std::vector<torch::Tensor> losses;
  for (size_t g = 0; g < encoder.size(); ++g) {
    TORCH_CHECK(encoder[g].dim() == 4 && encoder[g].sizes() == decoder[g].sizes(), "group ", g,
                " must be [B, h, w, C] on both sides, got ", encoder[g].sizes(), " and ",
                decoder[g].sizes());
    losses.push_back(
        GroupLoss(AtLeastFloat(encoder[g].detach()), AtLeastFloat(decoder[g]), tau, processes));
  }
  return at::stack(losses).mean();  // eq. 11
}

}  // namespace proad::model

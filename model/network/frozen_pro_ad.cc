#include "model/network/frozen_pro_ad.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <utility>
#include <vector>

#include "model/network/encoder_kinds.h"
#include "model/network/frozen_layers.h"
#include "model/network/packed_linear.h"
#include "model/network/prototype_bank.h"

namespace proad::model {
namespace {

using Activation = PackedLinear::Activation;

// phi(u) = ELU(u) + 1, in place.
void Phi(torch::Tensor u) { at::elu_(u).add_(1); }

// The result of one product: queries and keys after phi, and values. Each [B, N, C], a view of the
// product's columns.
struct Projections {
  torch::Tensor phi_q;
  torch::Tensor phi_k;
  torch::Tensor v;
};

Projections Project(const PackedLinear& qkv, const torch::Tensor& x) {
  const torch::Tensor all = qkv(x);
  const int64_t width = all.size(2) / 3;
  Phi(all.narrow(2, 0, 2 * width));
  return {all.narrow(2, 0, width), all.narrow(2, width, width), all.narrow(2, 2 * width, width)};
}

// LCA (eq. 3) before its output projection. -> [B, N, C], contiguous
torch::Tensor Attend(const torch::Tensor& phi_q, const torch::Tensor& phi_k, const torch::Tensor& v,
                     int heads) {
  const auto split = [heads](const torch::Tensor& x) {
    return x.unflatten(2, {heads, -1}).transpose(1, 2);  // [B, H, N, d]
  };
  const torch::Tensor q = split(phi_q), k = split(phi_k);
  const torch::Tensor s = at::matmul(k.transpose(2, 3), split(v));  // [B, H, d, d]
  const torch::Tensor z = k.sum(2).unsqueeze(3);                    // [B, H, d, 1]
  const torch::Tensor denominator = at::matmul(q, z).add_(kAttentionEps);
  const torch::Tensor numerator = at::matmul(q, s);  // [B, H, N, d]
  torch::Tensor out =
      at::empty({numerator.size(0), numerator.size(2), numerator.size(1), numerator.size(3)},
                numerator.options());
  at::div_out(out, numerator.transpose(1, 2), denominator.transpose(1, 2));
  return out.flatten(2);
}

struct FrozenLayer {
  // `next`: the following layer; null for the last layer.
  FrozenLayer(const DecoderLayerImpl& layer, const DecoderLayerImpl* next)
      : proj(AffineOf(layer.attn->proj)),
        fc1(AfterNorm(layer.norm2, AffineOf(layer.ffn->fc1)), Activation::kGelu),
        fc2(AffineOf(layer.ffn->fc2)) {
    const auto part = [](const DecoderLayerImpl& of, const torch::nn::Linear& linear) {
      return AfterNorm(of.norm1, AffineOf(linear));
    };
    const Affine k = part(layer, layer.attn->k), v = part(layer, layer.attn->v);
    image_qkv = PackedLinear(SideBySide({part(layer, layer.attn->q), k, v}));
    const DecoderLayerImpl& of_queries = next == nullptr ? layer : *next;
    prototype_qkv = PackedLinear(SideBySide({part(of_queries, of_queries.attn->q), k, v}));
  }

  // Of Q_l: queries of the image (eq. 8), and keys and values for the prototypes (eq. 4).
  PackedLinear image_qkv;
  // Of P_{l+1}: queries of the next layer (eq. 4), and keys and values for the image (eq. 8).
  PackedLinear prototype_qkv;
  PackedLinear proj;
  PackedLinear fc1;  // norm2 folded in
  PackedLinear fc2;
};

struct FrozenDecoder {
  explicit FrozenDecoder(const ProAdImpl& model) : config(model.config()) {
    const int width = config.encoder.width;
    p0 = BankTokens(model.prototypes, config.tokens(), width);
    if (config.adaptive_noisy_bottleneck) {
      fc1 = PackedLinear(AffineOf(model.bottleneck->fc1), Activation::kGelu);
      fc2 = PackedLinear(AffineOf(model.bottleneck->fc2));
      p0 = fc2(fc1(p0));
    }
    p0 = p0.clone();
    for (int l = 0; l < config.decoder_layers; ++l) {
      const bool last = l + 1 == config.decoder_layers;
      layers.emplace_back(model.decoder->at<DecoderLayerImpl>(l),
                          last ? nullptr : &model.decoder->at<DecoderLayerImpl>(l + 1));
    }
    const auto& first = model.decoder->at<DecoderLayerImpl>(0);
    phi_q0 =
        PackedLinear(AfterNorm(first.norm1, AffineOf(first.attn->q)))(Whiten(p0, kDecoderNormEps));
    Phi(phi_q0);
  }

  // F [B, N, C], may be changed in place -> groups of decoder outputs [B, N, C]
  std::vector<torch::Tensor> Run(torch::Tensor fused) const {
    GroupSums groups(config.decoder_layers, config.groups);
    torch::Tensor q = config.adaptive_noisy_bottleneck ? fc2(fc1(fused)) : fused;  // eq. 1
    torch::Tensor p = p0;
    torch::Tensor phi_qp = phi_q0;  // queries of the prototypes
    for (int l = 0; l < config.decoder_layers; ++l) {
      const FrozenLayer& layer = layers[l];
      const Projections image = Project(layer.image_qkv, Whiten(q, kDecoderNormEps));
      if (config.dynamic_decoder) {
        p = Attended(layer, phi_qp, image).add_(p);                // eq. 4
        p.add_(layer.fc2(layer.fc1(Whiten(p, kDecoderNormEps))));  // eq. 5
      }
      const torch::Tensor white = Whiten(p, kDecoderNormEps);
      const Projections prototypes = Project(layer.prototype_qkv, white);
      q.add_(Attended(layer, image.phi_q, prototypes));               // eq. 8
      q.add_(layer.fc2(layer.fc1(config.prototype_constraint ? white  // eq. 9
                                                             : Whiten(q, kDecoderNormEps))));
      phi_qp = prototypes.phi_q;
      groups.Add(config.decoder_layers - 1 - l, q);
    }
    return std::move(groups).Means();
  }

  torch::Tensor Attended(const FrozenLayer& layer, const torch::Tensor& phi_q,
                         const Projections& from) const {
    return layer.proj(Attend(phi_q, from.phi_k, from.v, config.encoder.heads));
  }

  ModelConfig config;
  PackedLinear fc1, fc2;  // the bottleneck
  torch::Tensor p0;       // P_0 [1, N, C]
  torch::Tensor phi_q0;   // phi of the queries of P_0 in layer 0
  std::vector<FrozenLayer> layers;
};

}  // namespace

struct FrozenProAd::Weights {
  Weights(const ProAdImpl& model, const Preprocessing& preprocessing)
      : config(model.config()),
        device(model.prototypes.device()),
        encoder(FreezeEncoder(*model.encoder, config, preprocessing)),
        decoder(model),
        map(config, device) {}

  ModelConfig config;
  torch::Device device;
  std::unique_ptr<const FrozenEncoder> encoder;
  FrozenDecoder decoder;
  AnomalyMap map;
};

FrozenProAd::FrozenProAd(const ProAd& model, const Preprocessing& preprocessing) {
  const c10::InferenceMode inference;
  weights_ = std::make_unique<const Weights>(*model, preprocessing);
}
FrozenProAd::~FrozenProAd() = default;
FrozenProAd::FrozenProAd(FrozenProAd&&) noexcept = default;
FrozenProAd& FrozenProAd::operator=(FrozenProAd&&) noexcept = default;

const ModelConfig& FrozenProAd::config() const { return weights_->config; }
torch::Device FrozenProAd::device() const { return weights_->device; }

Reconstruction FrozenProAd::Forward(const torch::Tensor& pixels) const {
  const c10::InferenceMode inference;
  const ModelConfig& config = weights_->config;
  TORCH_CHECK(pixels.scalar_type() == torch::kUInt8 && pixels.dim() == 4 &&
                  pixels.size(1) == config.input_height && pixels.size(2) == config.input_width &&
                  pixels.size(3) == 3,
              "pixels must be uint8 [B, ", config.input_height, ", ", config.input_width,
              ", 3], got ", pixels.scalar_type(), " ", pixels.sizes());
  const std::vector<torch::Tensor> taps =
      weights_->encoder->Run(pixels.to(weights_->device).contiguous());
  torch::Tensor fused = taps[0].clone();
  for (size_t g = 1; g < taps.size(); ++g) fused.add_(taps[g]);
  const std::vector<torch::Tensor> outputs =
      weights_->decoder.Run(fused.div_(static_cast<double>(taps.size())));

  Reconstruction result;
  const auto patches = [&config](const torch::Tensor& tokens) {
    return tokens.narrow(1, config.prefix_tokens(), tokens.size(1) - config.prefix_tokens())
        .unflatten(1, {config.grid_height(), config.grid_width()});
  };
  for (const torch::Tensor& group : taps) result.encoder_groups.push_back(patches(group));
  for (const torch::Tensor& group : outputs) result.decoder_groups.push_back(patches(group));
  return result;
}

Scored FrozenProAd::Detect(const torch::Tensor& pixels) const {
  const c10::InferenceMode inference;
  const torch::Tensor maps = weights_->map(Forward(pixels));
  return {ImageScore(maps), maps};
}

}  // namespace proad::model

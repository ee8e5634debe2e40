// The encoder of the paper: DINOv2 with registers, as far as its last tap.
//
// Parameter names and shapes are the official ones: cls_token [1, 1, C], pos_embed [1, 1 + G*G, C],
// register_tokens [1, R, C], patch_embed.proj.{weight [C, 3, p, p], bias [C]}, blocks.<i>.{norm1,
// attn.qkv, attn.proj, ls1.gamma, norm2, mlp.fc1, mlp.fc2, ls2.gamma}. Blocks after the last tap,
// the final norm and the mask token do not exist here. Thread-safety: forward may be called from
// several threads while no parameter changes.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <vector>

#include "model/network/encoder.h"
#include "model/network/transformer.h"
#include "model/spec/config.h"

namespace proad::model {

// Resizes stored position embeddings to a grid of `height` x `width` patches, in float32. The class
// position does not change; a grid of the same size is returned unchanged.
// positions: [1, 1 + G*G, C] -> [1, 1 + height*width, C]
torch::Tensor InterpolatePositions(const torch::Tensor& positions, int height, int width,
                                   PositionResize how);

// Divides the image into patches and projects each to a token, row-major.
class PatchEmbedImpl : public torch::nn::Module {
 public:
  PatchEmbedImpl(int patch, int width);

  // images: [B, 3, H, W] -> [B, H/p * W/p, C]
  torch::Tensor forward(const torch::Tensor& images);

  torch::nn::Conv2d proj{nullptr};
};
TORCH_MODULE(PatchEmbed);

class VisionTransformerImpl : public EncoderImpl {
 public:
  explicit VisionTransformerImpl(const EncoderConfig& config);

  // The raw residual stream after each tapped block. Tokens: [CLS, registers, patches].
  std::vector<torch::Tensor> forward(const torch::Tensor& images) override;

  // The tokens that enter block 0. images: [B, 3, H, W] -> [B, N, C]
  torch::Tensor Embed(const torch::Tensor& images);

  torch::Tensor cls_token;
  torch::Tensor pos_embed;
  torch::Tensor register_tokens;
  PatchEmbed patch_embed{nullptr};
  torch::nn::ModuleList blocks{nullptr};  // of EncoderBlock
};
TORCH_MODULE(VisionTransformer);

}  // namespace proad::model

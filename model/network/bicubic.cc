#include "model/network/bicubic.h"

#include <ATen/ATen.h>

namespace proad::model {

torch::Tensor ResizeBicubic(const torch::Tensor& images, int64_t height, int64_t width) {
  const torch::Tensor resized =
      height < images.size(2)
          ? at::_upsample_bicubic2d_aa(images, {height, width}, /*align_corners=*/false)
          : at::upsample_bicubic2d(images, {height, width}, /*align_corners=*/false);
  return resized.clamp(0, 1);
}

}  // namespace proad::model

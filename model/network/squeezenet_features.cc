#include "model/network/squeezenet_features.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "model/network/bicubic.h"
#include "model/spec/squeezenet_layout.h"

namespace proad::model {
namespace {

constexpr int64_t kCoarsestStride = 16;  // of the network's last maps

struct Size {
  int64_t height;
  int64_t width;
};

// The network's maps of an image that was resized to `size`; fire2 first.
struct Maps {
  Size size;
  std::vector<torch::Tensor> fires;
};

int64_t StrideOf(int fire) { return fire < 4 ? 4 : fire < 6 ? 8 : kCoarsestStride; }

// Weights that average `positions` of a map, `stride` pixels apart, over each of `cells` equal
// parts of a side of `side` pixels; each row sums to one. The network has no padding, so position j
// covers the pixels around stride * (j + 1) - 1/2. -> [cells, positions]
torch::Tensor Overlap(int64_t cells, int64_t positions, int64_t stride, int64_t side) {
  const auto step = static_cast<double>(stride);
  const torch::Tensor centres = at::arange(1, positions + 1, at::kDouble) * step - 0.5;
  torch::Tensor from = centres - step / 2;
  torch::Tensor to = centres + step / 2;
  from[0] = 0;  // the outermost positions also cover the border
  to[positions - 1] = static_cast<double>(side);
  const torch::Tensor edges =
      at::arange(cells + 1, at::kDouble) * (static_cast<double>(side) / static_cast<double>(cells));
  const torch::Tensor overlap =
      (at::minimum(to.unsqueeze(0), edges.narrow(0, 1, cells).unsqueeze(1)) -
       at::maximum(from.unsqueeze(0), edges.narrow(0, 0, cells).unsqueeze(1)))
          .clamp_min(0);
  return (overlap / overlap.sum(1, true)).to(at::kFloat);
}

// The mean of each patch and the maximum of the 3 x 3 patches around it.
torch::Tensor Spread(const torch::Tensor& map) {
  return (map + at::max_pool2d(map, /*kernel_size=*/3, /*stride=*/1, /*padding=*/1)) / 2;
}

// Normalises each patch to length one.
torch::Tensor Unit(const torch::Tensor& map) {
  return map / map.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

torch::Tensor AsPatches(const torch::Tensor& map) { return map.flatten(2).transpose(1, 2); }

}  // namespace

SqueezeNetFeatures FeaturesOf(const SqueezeNet& network, const torch::Tensor& images, int patch) {
  const Size input = {images.size(2), images.size(3)};
  const Size grid = {input.height / patch, input.width / patch};
  const auto run = [&](const Size& size, int last) -> Maps {
    const torch::Tensor resized = ResizeBicubic(images, size.height, size.width);
    // With channels last, pooling compares several channels at a time.
    return {size, SqueezeNet(network)(resized.contiguous(at::MemoryFormat::ChannelsLast), last)};
  };
  // The mean of a fire module's positions inside each patch. -> [B, D, rows, columns]
  const auto means = [&](const Maps& maps, int fire) {
    const torch::Tensor& map = maps.fires[static_cast<size_t>(fire - kFirstFire)];
    const torch::Tensor rows =
        Overlap(grid.height, map.size(2), StrideOf(fire), maps.size.height).to(map.options());
    const torch::Tensor columns =
        Overlap(grid.width, map.size(3), StrideOf(fire), maps.size.width).to(map.options());
    // With channels last, one product averages complete rows of the map.
    const torch::Tensor of_rows = at::matmul(rows, map.permute({0, 2, 3, 1}).flatten(2));
    return at::matmul(columns, of_rows.unflatten(2, {map.size(3), map.size(1)}))
        .permute({0, 3, 1, 2})
        .to(at::kFloat);
  };
  // At this size the last maps have one position per patch.
  const Maps whole = run({grid.height * kCoarsestStride, grid.width * kCoarsestStride}, 9);
  const Maps twice = run({2 * input.height, 2 * input.width}, 5);
  const Maps half = run({input.height / 2, input.width / 2}, 5);
  return {AsPatches(Unit(Spread(means(whole, 3)).sqrt())),
          AsPatches(Unit(Spread(means(twice, 3)).sqrt())),
          AsPatches(Unit(Spread(means(twice, 5)).sqrt())), AsPatches(means(half, 5).sqrt()),
          AsPatches(means(whole, 9).sqrt())};
}

}  // namespace proad::model

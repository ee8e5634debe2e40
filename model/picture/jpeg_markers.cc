#include "model/picture/jpeg_markers.h"

#include <cstring>
#include <string>
#include <string_view>

#include "model/picture/byte_view.h"

namespace proad::model {
namespace {

// Marker codes, the byte after 0xFF.
constexpr uint8_t kSof0 = 0xC0;  // baseline
constexpr uint8_t kSof2 = 0xC2;  // progressive; 0xC1 is extended sequential
constexpr uint8_t kDht = 0xC4;
constexpr uint8_t kJpg = 0xC8;
constexpr uint8_t kDac = 0xCC;
constexpr uint8_t kSof15 = 0xCF;
constexpr uint8_t kRst0 = 0xD0;
constexpr uint8_t kRst7 = 0xD7;
constexpr uint8_t kSoi = 0xD8;
constexpr uint8_t kEoi = 0xD9;
constexpr uint8_t kSos = 0xDA;
constexpr uint8_t kTem = 0x01;

// libjpeg's progressive default has 10 scans.
constexpr int kMaxScans = 100;

struct Segment {
  uint8_t marker = 0;
  size_t payload = 0;  // position after the length field
  size_t end = 0;      // position after the segment
};

bool IsFrameHeader(uint8_t marker) {
  return marker >= kSof0 && marker <= kSof15 && marker != kDht && marker != kJpg && marker != kDac;
}

bool IsRestart(uint8_t marker) { return marker >= kRst0 && marker <= kRst7; }

// Moves from marker to marker as libjpeg does: it skips other bytes between two markers.
class MarkerWalk {
 public:
  explicit MarkerWalk(std::span<const uint8_t> bytes) : bytes_(bytes), view_(bytes, "JPEG") {
    if (view_.Big16(0) != 0xFFD8) view_.Damaged("it does not begin with a start-of-image marker");
  }

  const ByteView& view() const { return view_; }

  // The next segment; for kEoi it has no payload.
  Segment Next() {
    Segment segment;
    do {
      segment.marker = FindMarker();
    } while (IsRestart(segment.marker) || segment.marker == kTem);
    if (segment.marker == kSoi) view_.Damaged("a second image begins before the first one ends");
    segment.payload = segment.end = at_;
    if (segment.marker != kEoi) {
      const uint32_t length = view_.Big16(at_);
      if (length < 2) view_.Damaged("segment of length " + std::to_string(length));
      view_.Require(at_, length);
      segment.payload = at_ + 2;
      segment.end = at_ + length;
    }
    at_ = segment.end;
    return segment;
  }

 private:
  // The code of the next marker; moves behind it. Stuffed zeros (FF 00) are entropy-coded data.
  uint8_t FindMarker() {
    while (true) {
      const uint8_t* begin = bytes_.data() + at_;
      const void* found = std::memchr(begin, 0xFF, bytes_.size() - at_);
      if (found == nullptr) {
        throw InvalidImage("encoded", "IMAGE_DECODE_FAILED",
                           "JPEG file is truncated: its " + std::to_string(bytes_.size()) +
                               " bytes end without an end-of-image marker");
      }
      at_ += static_cast<const uint8_t*>(found) - begin;
      while (view_.U8(at_) == 0xFF) ++at_;
      const uint8_t code = bytes_[at_++];
      if (code != 0) return code;
    }
  }

  std::span<const uint8_t> bytes_;
  ByteView view_;
  size_t at_ = 2;
};

ImageHeader ParseFrameHeader(const ByteView& view, const Segment& segment) {
  if (segment.marker > kSof2) {
    view.Unsupported("coding process " + std::to_string(segment.marker - kSof0) +
                     " (lossless, hierarchical or arithmetic) is not supported; baseline and "
                     "progressive are");
  }
  if (segment.end - segment.payload < 6) view.Damaged("frame header is too short");
  const int components = view.U8(segment.payload + 5);
  if (segment.end - segment.payload != 6u + 3u * components) {
    view.Damaged("frame header's length does not match its " + std::to_string(components) +
                 " components");
  }
  ImageHeader header;
  header.format = ImageFormat::kJpeg;
  header.bits_per_sample = view.U8(segment.payload);
  header.progressive = segment.marker == kSof2;
  header.height = view.Big16(segment.payload + 1);
  header.width = view.Big16(segment.payload + 3);
  if (header.bits_per_sample != 8) {
    view.Unsupported(std::to_string(header.bits_per_sample) +
                     " bits a sample are not supported; 8 are");
  }
  if (components != 1 && components != 3 && components != 4) {
    view.Unsupported(std::to_string(components) +
                     " components are not supported; grey (1), colour (3) and CMYK (4) are");
  }
  header.components = components;
  return header;
}

}  // namespace

ImageHeader ReadJpegHeader(std::span<const uint8_t> bytes) {
  MarkerWalk walk(bytes);
  while (true) {
    const Segment segment = walk.Next();
    if (IsFrameHeader(segment.marker)) return ParseFrameHeader(walk.view(), segment);
    if (segment.marker == kSos || segment.marker == kEoi) {
      walk.view().Damaged("it has no frame header before the first scan");
    }
  }
}

std::span<const uint8_t> FindJpegExif(std::span<const uint8_t> bytes) {
  constexpr uint8_t kApp1 = 0xE1;
  constexpr std::string_view kExif("Exif\0\0", 6);
  MarkerWalk walk(bytes);
  while (true) {
    const Segment segment = walk.Next();
    if (segment.marker == kSos || segment.marker == kEoi) return {};
    if (segment.marker != kApp1) continue;
    const auto payload = bytes.subspan(segment.payload, segment.end - segment.payload);
    // Another kind of APP1 segment has XMP.
    if (payload.size() >= kExif.size() &&
        std::memcmp(payload.data(), kExif.data(), kExif.size()) == 0) {
      return payload;
    }
  }
}

void CheckJpegComplete(std::span<const uint8_t> bytes) {
  MarkerWalk walk(bytes);
  int frames = 0;
  int scans = 0;
  for (Segment segment = walk.Next(); segment.marker != kEoi; segment = walk.Next()) {
    if (IsFrameHeader(segment.marker) && ++frames > 1) walk.view().Damaged("two frame headers");
    if (segment.marker == kSos && ++scans > kMaxScans) {
      walk.view().Damaged("more than " + std::to_string(kMaxScans) + " scans");
    }
  }
  if (scans == 0) walk.view().Damaged("it has no scan");
}

}  // namespace proad::model

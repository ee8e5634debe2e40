#include "model/picture/jpeg_decoder.h"

#include <csetjmp>
#include <cstddef>
#include <cstdio>

// jpeglib.h needs the declarations of <cstdio> and <cstddef>.
#include <jerror.h>
#include <jpeglib.h>

namespace proad::model {
namespace {

// libjpeg's callbacks get the jpeg_error_mgr, which is the first member.
struct JpegErrors {
  jpeg_error_mgr manager = {};
  std::jmp_buf return_point;
  char message[JMSG_LENGTH_MAX] = "";
  bool in_scan = false;  // the headers are read
  int dropped_warnings = 0;
};

JpegErrors& ErrorsOf(j_common_ptr info) { return *reinterpret_cast<JpegErrors*>(info->err); }

// Ends the decoding. libjpeg is C, so no exception may pass through it.
[[noreturn]] void Fail(j_common_ptr info) {
  JpegErrors& errors = ErrorsOf(info);
  errors.manager.format_message(info, errors.message);
  std::longjmp(errors.return_point, 1);
}

bool MeansDamagedPixels(int code, bool in_scan) {
  switch (code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_JPEG_EOF:
      return true;
    case JWRN_EXTRANEOUS_DATA:  // in a scan: data is left after the last block
      return in_scan;
    default:
      return false;
  }
}

// Negative levels are warnings, the others trace messages.
void HandleMessage(j_common_ptr info, int level) {
  if (level >= 0) return;
  JpegErrors& errors = ErrorsOf(info);
  if (MeansDamagedPixels(errors.manager.msg_code, errors.in_scan)) Fail(info);
  ++errors.dropped_warnings;
}

void DropOutput(j_common_ptr) {}

// Converts a row of inverted samples, as Adobe's programs write them: 255 is no ink.
void CmykToRgb(const uint8_t* cmyk, uint32_t width, uint8_t* rgb) {
  for (uint32_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>((cmyk[c] * cmyk[3] + 127) / 255);
  }
}

class JpegDecoder {
 public:
  JpegDecoder() {
    info_.err = jpeg_std_error(&errors_.manager);
    errors_.manager.error_exit = Fail;
    errors_.manager.emit_message = HandleMessage;
    errors_.manager.output_message = DropOutput;
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  // `pixels` has room for the size in `header`. False after an error; message() describes it. Only
  // trivially destructible variables live in this function, because Fail jumps back into it.
  bool Decode(std::span<const uint8_t> bytes, const ImageHeader& header, uint8_t* pixels) {
    if (setjmp(errors_.return_point) != 0) return false;
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, bytes.data(), bytes.size());
    jpeg_read_header(&info_, TRUE);
    if (info_.image_width != header.width || info_.image_height != header.height) {
      std::snprintf(errors_.message, sizeof errors_.message, "its data has %u x %u pixels",
                    info_.image_width, info_.image_height);
      return false;
    }
    errors_.in_scan = true;
    const bool four = info_.num_components == 4;
    info_.out_color_space = four ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info_);
    // libjpeg owns the row of four samples a pixel.
    JSAMPARRAY cmyk = !four ? nullptr
                            : (*info_.mem->alloc_sarray)(reinterpret_cast<j_common_ptr>(&info_),
                                                         JPOOL_IMAGE, 4 * info_.output_width, 1);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = pixels + size_t{3} * info_.output_width * info_.output_scanline;
      jpeg_read_scanlines(&info_, four ? cmyk : &row, 1);
      if (four) CmykToRgb(cmyk[0], info_.output_width, row);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  const char* message() const { return errors_.message; }
  int dropped_warnings() const { return errors_.dropped_warnings; }

 private:
  JpegErrors errors_;
  jpeg_decompress_struct info_ = {};
};

}  // namespace

Image DecodeJpeg(std::span<const uint8_t> bytes, const ImageHeader& header,
                 DecodeDiagnostics& diagnostics) {
  Image image = BlankImage(header);
  JpegDecoder decoder;
  const bool decoded = decoder.Decode(bytes, header, image.pixels.data());
  diagnostics.dropped_warnings += decoder.dropped_warnings();
  if (!decoded) ThrowUndecodable(header, decoder.message());
  return image;
}

}  // namespace proad::model

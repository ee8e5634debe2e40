// Datasets of a few files as VisA and Real-IAD are published, and how tests open them.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "model/dataset/dataset.h"
#include "tests/support/dataset_files.h"

namespace proad::testing {

inline model::Dataset Open(const std::filesystem::path& path,
                           model::DatasetFormat format = model::DatasetFormat::kAuto,
                           std::vector<std::string> categories = {}) {
  model::DatasetOptions options;
  options.format = format;
  options.categories = std::move(categories);
  return model::OpenDataset(path, options);
}

// The split that WriteVisa writes: split_csv/1cls.csv.
inline constexpr char kVisaSplit[] =
    "object,split,label,image,mask\n"
    "candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n"
    "candle,test,normal,candle/Data/Images/Normal/0001.JPG,\n"
    "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
    "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,\n"
    "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/000.JPG,pcb1/Data/Masks/Anomaly/000.png\n";

// Two categories; what kinds of defects there are is said of candle only.
inline void WriteVisa(const std::filesystem::path& root) {
  WriteFiles(root, {"candle/Data/Images/Normal/0000.JPG", "candle/Data/Images/Normal/0001.JPG",
                    "candle/Data/Images/Anomaly/000.JPG", "candle/Data/Masks/Anomaly/000.png",
                    "pcb1/Data/Images/Normal/0000.JPG", "pcb1/Data/Images/Anomaly/000.JPG",
                    "pcb1/Data/Masks/Anomaly/000.png"});
  WriteFile(root, "split_csv/1cls.csv", kVisaSplit);
  WriteFile(root, "candle/image_anno.csv",
            "image,label,mask\r\n"
            "candle/Data/Images/Normal/0000.JPG,normal,\r\n"
            "candle/Data/Images/Anomaly/000.JPG,\"melded,chunk\","
            "candle/Data/Masks/Anomaly/000.png\r\n");
}

inline constexpr char kRealIad[] = R"({"meta": {"prefix": "usb/", "normal_class": "OK"},
  "train": [{"category": "usb", "anomaly_class": "OK", "image_path": "OK/S1/a.jpg",
             "mask_path": null}],
  "test": [{"category": "usb", "anomaly_class": "AK", "image_path": "NG/AK/S1/b.jpg",
            "mask_path": "NG/AK/S1/b.png"},
           {"category": "usb", "anomaly_class": "OK", "image_path": "NG/AK/S1/c.jpg",
            "mask_path": null}]})";

// `lists` and `pictures` are folders below the root.
inline void WriteRealIad(const std::filesystem::path& root, const std::string& lists,
                         const std::string& pictures) {
  for (const char* name : {"OK/S1/a.jpg", "NG/AK/S1/b.jpg", "NG/AK/S1/b.png", "NG/AK/S1/c.jpg"})
    WriteFile(root, pictures + "/usb/" + name);
  WriteFile(root, lists + "/usb.json", kRealIad);
}

}  // namespace proad::testing

// The reasons of errors: stable words for programs, in google.rpc.ErrorInfo.reason and in
// TrainJob.reason_code. The comment of each says what the caller should do.
//
// proto/proad/v1/errors.md is the public table of these reasons, with the gRPC code of each. A test
// (tests/unit/checks/reason_check.py) compares both and refuses a reason that stands as a literal
// elsewhere in server/. The exceptions of model/ carry their reasons as literals; the test looks
// them up here.
#pragma once

namespace proad::server::reason {

// ---------------------------------------------------------------- Any call

// None: the caller cancelled the call.
inline constexpr char kCancelled[] = "CANCELLED";
// Set a longer deadline, or send fewer images at once.
inline constexpr char kDeadlineExpired[] = "DEADLINE_EXPIRED";
// Send the call to another server, or to this one after its restart.
inline constexpr char kDraining[] = "DRAINING";
// Send a value of the enum that the message lists.
inline constexpr char kEnumUnknown[] = "ENUM_UNKNOWN";
// Send fewer or shorter labels; the message states the limit.
inline constexpr char kLabelsInvalid[] = "LABELS_INVALID";
// Set training.enabled on the server, or use a server that trains.
inline constexpr char kNotOffered[] = "NOT_OFFERED";
// Send one of the values that the message lists.
inline constexpr char kNotSupported[] = "NOT_SUPPORTED";
// Send a value in the range that the message states.
inline constexpr char kOutOfRange[] = "OUT_OF_RANGE";
// Send a page size from 0 to the stated maximum.
inline constexpr char kPageSizeInvalid[] = "PAGE_SIZE_INVALID";
// Send next_page_token of an earlier answer, unchanged, or none.
inline constexpr char kPageTokenInvalid[] = "PAGE_TOKEN_INVALID";
// Send an id of the length and characters that the message states.
inline constexpr char kRequestIdInvalid[] = "REQUEST_ID_INVALID";
// Use a token with the role that the message names.
inline constexpr char kRoleInsufficient[] = "ROLE_INSUFFICIENT";
// Send one header "authorization: Bearer TOKEN".
inline constexpr char kTokenMalformed[] = "TOKEN_MALFORMED";
// Send the header "authorization: Bearer TOKEN".
inline constexpr char kTokenMissing[] = "TOKEN_MISSING";
// Get a new token from the operator.
inline constexpr char kTokenUnknown[] = "TOKEN_UNKNOWN";

// ---------------------------------------------------------------- Detect and DetectStream

// Send the image again after the retry delay.
inline constexpr char kBytesFull[] = "BYTES_FULL";
// Send a category name of the length that the message states, each once.
inline constexpr char kCategoryInvalid[] = "CATEGORY_INVALID";
// Send one of the categories that the message lists, or none.
inline constexpr char kCategoryNotFound[] = "CATEGORY_NOT_FOUND";
// Set a longer deadline, or send the image again after the retry delay.
inline constexpr char kDeadlineUnattainable[] = "DEADLINE_UNATTAINABLE";
// Set encoded or frame.
inline constexpr char kImageMissing[] = "IMAGE_MISSING";
// Send a smaller image, or raise the limit that the message names. The client found this before
// sending.
inline constexpr char kMessageTooLarge[] = "MESSAGE_TOO_LARGE";
// Read the answers that wait, then send the image again after the retry delay.
inline constexpr char kOutputFull[] = "OUTPUT_FULL";
// Ask for a smaller heatmap: the model's resolution, 8 or 16 bits, or no overlay.
inline constexpr char kOutputTooLarge[] = "OUTPUT_TOO_LARGE";
// Set frame.pixel_format.
inline constexpr char kPixelFormatMissing[] = "PIXEL_FORMAT_MISSING";
// Send the image again; report it when the fault persists.
inline constexpr char kProcessingFailed[] = "PROCESSING_FAILED";
// Send the call again after the retry delay.
inline constexpr char kQueueFull[] = "QUEUE_FULL";
// Send a finite threshold above 0, or none.
inline constexpr char kThresholdInvalid[] = "THRESHOLD_INVALID";

// ---------------------------------------------------------------- Models

// Read the active version, decide again, and repeat the call.
inline constexpr char kActiveVersionChanged[] = "ACTIVE_VERSION_CHANGED";
// Restore the file that the message names from a backup, or use another version.
inline constexpr char kArtifactCorrupt[] = "ARTIFACT_CORRUPT";
// Call again when the running calibration has ended.
inline constexpr char kCalibrationRunning[] = "CALIBRATION_RUNNING";
// Send the image to another server; the operator checks the device and restarts.
inline constexpr char kDeviceLost[] = "DEVICE_LOST";
// Unload a version, or lower batching.max_batch_size on the server.
inline constexpr char kDeviceOutOfMemory[] = "DEVICE_OUT_OF_MEMORY";
// Activate another version of the model first.
inline constexpr char kModelActive[] = "MODEL_ACTIVE";
// Unload a version, or give the server more memory.
inline constexpr char kModelDoesNotFit[] = "MODEL_DOES_NOT_FIT";
// Send the image again once; report it, or use another version, when it fails again.
inline constexpr char kModelFailed[] = "MODEL_FAILED";
// Unload the version first.
inline constexpr char kModelLoaded[] = "MODEL_LOADED";
// Call again after the retry delay.
inline constexpr char kModelLoading[] = "MODEL_LOADING";
// Send NAME or NAME@VERSION.
inline constexpr char kModelNameInvalid[] = "MODEL_NAME_INVALID";
// Send one of the models that the message lists.
inline constexpr char kModelNotFound[] = "MODEL_NOT_FOUND";
// Load the version with LoadModel, or activate it.
inline constexpr char kModelNotLoaded[] = "MODEL_NOT_LOADED";
// Name a model: the server has no default model.
inline constexpr char kModelRequired[] = "MODEL_REQUIRED";
// Use another version: this one computes values that are not finite.
inline constexpr char kNonFiniteOutput[] = "NON_FINITE_OUTPUT";
// Publish or activate a model, or call again after the retry delay.
inline constexpr char kNoModelReady[] = "NO_MODEL_READY";
// Activate a version by its number: no earlier version is known.
inline constexpr char kNoVersionBefore[] = "NO_VERSION_BEFORE";
// Send the image to another server; the operator checks the devices.
inline constexpr char kNoWorker[] = "NO_WORKER";
// Do not use the version on this device; publish it again or restore it.
inline constexpr char kProbeMismatch[] = "PROBE_MISMATCH";
// Send NAME@VERSION.
inline constexpr char kVersionMissing[] = "VERSION_MISSING";
// Read the version again: the store has another version under this number.
inline constexpr char kVersionReplaced[] = "VERSION_REPLACED";
// Send the image to another server; the operator checks the device.
inline constexpr char kWorkerHung[] = "WORKER_HUNG";

// ---------------------------------------------------------------- Training jobs: requests

// Choose a batch size that world_size divides.
inline constexpr char kBatchNotDivisible[] = "BATCH_NOT_DIVISIBLE";
// Name categories of the dataset; the message lists them.
inline constexpr char kCategoryUnknown[] = "CATEGORY_UNKNOWN";
// Finish the upload of the dataset first.
inline constexpr char kDatasetIncomplete[] = "DATASET_INCOMPLETE";
// Correct the dataset as the message says.
inline constexpr char kDatasetInvalid[] = "DATASET_INVALID";
// Set dataset_path or dataset_id.
inline constexpr char kDatasetMissing[] = "DATASET_MISSING";
// Send a path below the data root or the id of an uploaded dataset.
inline constexpr char kDatasetNotFound[] = "DATASET_NOT_FOUND";
// The operator creates or mounts training.data_root.
inline constexpr char kDataRootMissing[] = "DATA_ROOT_MISSING";
// Send auto, cpu, cuda or cuda:N.
inline constexpr char kDeviceInvalid[] = "DEVICE_INVALID";
// Choose a device that the server has.
inline constexpr char kDeviceUnavailable[] = "DEVICE_UNAVAILABLE";
// Name one of the encoders that the message lists.
inline constexpr char kEncoderNotFound[] = "ENCODER_NOT_FOUND";
// Set activate_on_success, or leave the gate out.
inline constexpr char kGateWithoutActivation[] = "GATE_WITHOUT_ACTIVATION";
// Use the preset, recipe and encoder that init_from was trained with.
inline constexpr char kInitFromMismatch[] = "INIT_FROM_MISMATCH";
// Create the job again when a queued job has started.
inline constexpr char kJobQueueFull[] = "JOB_QUEUE_FULL";
// Send the id of a job that ListTrainJobs returns.
inline constexpr char kJobUnknown[] = "JOB_UNKNOWN";
// Read the job's state; the message says which states allow the call.
inline constexpr char kJobWrongState[] = "JOB_WRONG_STATE";
// Send labels of at most the stated length.
inline constexpr char kLabelTooLong[] = "LABEL_TOO_LONG";
// Name one of the metrics that the message lists.
inline constexpr char kMetricUnknown[] = "METRIC_UNKNOWN";
// Send a name of at most 64 of a-z, 0-9, '-', '_' and '.'.
inline constexpr char kNameInvalid[] = "NAME_INVALID";
// Upload the dataset and name it by dataset_id.
inline constexpr char kNoDataRoot[] = "NO_DATA_ROOT";
// Send a path that lies below the data root, links resolved.
inline constexpr char kOutsideDataRoot[] = "OUTSIDE_DATA_ROOT";
// Send a relative path without '.', '..', NUL or links.
inline constexpr char kPathInvalid[] = "PATH_INVALID";
// Choose a precision that the device supports.
inline constexpr char kPrecisionUnsupported[] = "PRECISION_UNSUPPORTED";
// Send one of the presets that the message lists.
inline constexpr char kPresetUnknown[] = "PRESET_UNKNOWN";
// Send one of the recipes that the message lists.
inline constexpr char kRecipeUnknown[] = "RECIPE_UNKNOWN";
// Send a new request_id, or the same specification as before.
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
// Lower world_size, or use a server with more GPUs.
inline constexpr char kTooFewGpus[] = "TOO_FEW_GPUS";
// Add images of good parts; the message states how many are needed.
inline constexpr char kTooFewImages[] = "TOO_FEW_IMAGES";
// Name at most the stated number of categories.
inline constexpr char kTooManyCategories[] = "TOO_MANY_CATEGORIES";
// Send at most the stated number of labels.
inline constexpr char kTooManyLabels[] = "TOO_MANY_LABELS";
// End another WatchTrainJob call of this job first.
inline constexpr char kTooManyWatchers[] = "TOO_MANY_WATCHERS";
// Name a version that the store has.
inline constexpr char kVersionNotFound[] = "VERSION_NOT_FOUND";

// ---------------------------------------------------------------- Training jobs: reason_code

// None: a caller cancelled the job. ResumeTrainJob continues it.
inline constexpr char kCancelledByUser[] = "CANCELLED_BY_USER";
// Restore the training images that the job started with, or create a new job.
inline constexpr char kDatasetChanged[] = "DATASET_CHANGED";
// A file of the job is damaged: create a new job.
inline constexpr char kDataLoss[] = "DATA_LOSS";
// Read trainer.log of the job; report the fault.
inline constexpr char kInternal[] = "INTERNAL";
// Correct the field that the message names, and create a new job.
inline constexpr char kInvalidSpec[] = "INVALID_SPEC";
// Resume the job, or create one with a smaller learning rate.
inline constexpr char kNonFiniteLoss[] = "NON_FINITE_LOSS";
// Read trainer.log of the job; the system may have ended the process for its memory.
inline constexpr char kTrainerDied[] = "TRAINER_DIED";
// Replace or remove the images that the message names, or set skip_unreadable.
inline constexpr char kUnreadableImage[] = "UNREADABLE_IMAGE";

// ---------------------------------------------------------------- Uploads

// Send chunks of at most 1 MiB.
inline constexpr char kChunkTooLarge[] = "CHUNK_TOO_LARGE";
// Announce the file before its chunks.
inline constexpr char kChunkWithoutFile[] = "CHUNK_WITHOUT_FILE";
// Use the dataset as it is, or upload under another id.
inline constexpr char kDatasetComplete[] = "DATASET_COMPLETE";
// Send the 32 bytes of the file's SHA-256.
inline constexpr char kDigestInvalid[] = "DIGEST_INVALID";
// Send the file again: its content differs from its digest.
inline constexpr char kDigestMismatch[] = "DIGEST_MISMATCH";
// Send the missing files, then finish with the number of files.
inline constexpr char kFileCountMismatch[] = "FILE_COUNT_MISMATCH";
// Send the rest of the file before the next message.
inline constexpr char kFileIncomplete[] = "FILE_INCOMPLETE";
// Leave the file out, or raise the limit that the message names.
inline constexpr char kFileTooLarge[] = "FILE_TOO_LARGE";
// Send as many bytes as were announced.
inline constexpr char kFileTooLong[] = "FILE_TOO_LONG";
// Send start, then each file with its chunks, then finish.
inline constexpr char kMessageOutOfTurn[] = "MESSAGE_OUT_OF_TURN";
// Send the files in ascending order of their paths.
inline constexpr char kPathNotAscending[] = "PATH_NOT_ASCENDING";
// Call again after the retry delay.
inline constexpr char kTooManyUploads[] = "TOO_MANY_UPLOADS";
// Wait until the other stream has ended.
inline constexpr char kUploadUnderWay[] = "UPLOAD_UNDER_WAY";

// ---------------------------------------------------------------- Resources of the server

// The operator frees space on the disk that the message names.
inline constexpr char kDiskFull[] = "DISK_FULL";
// The operator checks the file or folder that the message names.
inline constexpr char kFileError[] = "FILE_ERROR";
// Send less at once, or give the process more memory.
inline constexpr char kOutOfMemory[] = "OUT_OF_MEMORY";

// ---------------------------------------------------------------- Images

// Send samples without bits above those of the pixel format.
inline constexpr char kFrameSampleInvalid[] = "FRAME_SAMPLE_INVALID";
// Send stride and data that fit width, height and pixel format.
inline constexpr char kFrameSizeMismatch[] = "FRAME_SIZE_MISMATCH";
// Send an image of at most image.max_bytes.
inline constexpr char kImageBytesTooLarge[] = "IMAGE_BYTES_TOO_LARGE";
// Send the complete, undamaged file.
inline constexpr char kImageDecodeFailed[] = "IMAGE_DECODE_FAILED";
// Send an image with at least one pixel.
inline constexpr char kImageEmpty[] = "IMAGE_EMPTY";
// Send a JPEG, PNG, BMP, TIFF or WebP file of a supported kind.
inline constexpr char kImageFormatUnsupported[] = "IMAGE_FORMAT_UNSUPPORTED";
// Send an image within image.max_pixels and image.max_side.
inline constexpr char kImageTooLarge[] = "IMAGE_TOO_LARGE";

// ---------------------------------------------------------------- Datasets

// Rename the category as the message says.
inline constexpr char kCategoryName[] = "CATEGORY_NAME";
// Correct the header line of the CSV file.
inline constexpr char kCsvColumn[] = "CSV_COLUMN";
// Correct the line that the message names.
inline constexpr char kCsvDamaged[] = "CSV_DAMAGED";
// Write good or the kind of defect as the label.
inline constexpr char kCsvLabel[] = "CSV_LABEL";
// Give all processes of the training the same dataset.
inline constexpr char kDatasetDiffers[] = "DATASET_DIFFERS";
// Remove the image or entry that stands twice.
inline constexpr char kDatasetDuplicate[] = "DATASET_DUPLICATE";
// Send a dataset with images.
inline constexpr char kDatasetEmpty[] = "DATASET_EMPTY";
// Add the missing file, or remove its entry.
inline constexpr char kDatasetFileMissing[] = "DATASET_FILE_MISSING";
// Use one of the layouts that the message lists.
inline constexpr char kDatasetFormatUnknown[] = "DATASET_FORMAT_UNKNOWN";
// Move the files as the message says.
inline constexpr char kDatasetLayout[] = "DATASET_LAYOUT";
// Replace the link by the files: links must stay inside the dataset.
inline constexpr char kDatasetLinkOutside[] = "DATASET_LINK_OUTSIDE";
// Replace the link on the dataset's path by a folder, and resume.
inline constexpr char kDatasetMoved[] = "DATASET_MOVED";
// Rename the file in UTF-8.
inline constexpr char kDatasetNameNotUtf8[] = "DATASET_NAME_NOT_UTF8";
// Remove the device, pipe or socket.
inline constexpr char kDatasetNotAFile[] = "DATASET_NOT_A_FILE";
// Remove the entry, or name an image file.
inline constexpr char kDatasetNotAPicture[] = "DATASET_NOT_A_PICTURE";
// Add images of good parts for training.
inline constexpr char kDatasetNotTrainable[] = "DATASET_NOT_TRAINABLE";
// Add images of the class that the message names.
inline constexpr char kDatasetOneClass[] = "DATASET_ONE_CLASS";
// Name files inside the dataset.
inline constexpr char kDatasetPathOutside[] = "DATASET_PATH_OUTSIDE";
// Write train or test as the split.
inline constexpr char kDatasetSplit[] = "DATASET_SPLIT";
// Split the dataset; the message states the limit.
inline constexpr char kDatasetTooLarge[] = "DATASET_TOO_LARGE";
// Correct the JSON file that the message names.
inline constexpr char kJsonDamaged[] = "JSON_DAMAGED";
// Correct the field that the message names.
inline constexpr char kJsonField[] = "JSON_FIELD";
// Write "good" for good parts, or the kind of defect.
inline constexpr char kLabelAmbiguous[] = "LABEL_AMBIGUOUS";
// Keep one mask per image.
inline constexpr char kMaskAmbiguous[] = "MASK_AMBIGUOUS";
// Correct the masks or the labels that the message names, or leave pixel metrics out of the gate.
inline constexpr char kMaskContradictsLabel[] = "MASK_CONTRADICTS_LABEL";
// Replace the masks that the message names.
inline constexpr char kMaskInvalid[] = "MASK_INVALID";
// Add the mask, or remove the masks of its folder.
inline constexpr char kMaskMissing[] = "MASK_MISSING";
// Remove the masks of good images.
inline constexpr char kMaskOfGood[] = "MASK_OF_GOOD";
// Give the mask the size of its image.
inline constexpr char kMaskSizeMismatch[] = "MASK_SIZE_MISMATCH";
// Add the image, or remove the mask.
inline constexpr char kMaskWithoutPicture[] = "MASK_WITHOUT_PICTURE";
// Move defective images to the test split.
inline constexpr char kTrainNotGood[] = "TRAIN_NOT_GOOD";

// ---------------------------------------------------------------- Versions, weights and recipes

// Choose another version number or directory.
inline constexpr char kAlreadyExists[] = "ALREADY_EXISTS";
// Correct the configuration value that the message names.
inline constexpr char kConfigInvalid[] = "CONFIG_INVALID";
// Choose a device that the machine has.
inline constexpr char kDeviceUnknown[] = "DEVICE_UNKNOWN";
// Use a distance combination that the message lists.
inline constexpr char kDistanceCombinationUnknown[] = "DISTANCE_COMBINATION_UNKNOWN";
// Train with one process, or use a build with distributed training.
inline constexpr char kDistributedUnsupported[] = "DISTRIBUTED_UNSUPPORTED";
// Use an encoder kind that the message lists.
inline constexpr char kEncoderKindUnknown[] = "ENCODER_KIND_UNKNOWN";
// Import the encoder for the network's configuration.
inline constexpr char kEncoderMismatch[] = "ENCODER_MISMATCH";
// Use the weights of an encoder that the project knows.
inline constexpr char kEncoderUnknown[] = "ENCODER_UNKNOWN";
// Use a key of a recipe.
inline constexpr char kKeyUnknown[] = "KEY_UNKNOWN";
// Correct the manifest as the message says.
inline constexpr char kManifestInvalid[] = "MANIFEST_INVALID";
// Use the manifest that belongs to the weights.
inline constexpr char kManifestMismatch[] = "MANIFEST_MISMATCH";
// Report the fault: an anomaly map has a value that is not finite.
inline constexpr char kMapNotFinite[] = "MAP_NOT_FINITE";
// Report the fault: the version's map range is not usable.
inline constexpr char kMapRangeInvalid[] = "MAP_RANGE_INVALID";
// Report the fault: a map has another size than its image.
inline constexpr char kMapSizeMismatch[] = "MAP_SIZE_MISMATCH";
// Write metadata in UTF-8.
inline constexpr char kMetadataInvalid[] = "METADATA_INVALID";
// Send a finite number.
inline constexpr char kNotFinite[] = "NOT_FINITE";
// Name a folder that exists.
inline constexpr char kNotFound[] = "NOT_FOUND";
// Use a position resize that the message lists.
inline constexpr char kPositionResizeUnknown[] = "POSITION_RESIZE_UNKNOWN";
// Use a precision that the message lists.
inline constexpr char kPrecisionUnknown[] = "PRECISION_UNKNOWN";
// Correct the manifest's preprocessing as the message says.
inline constexpr char kPreprocessingInvalid[] = "PREPROCESSING_INVALID";
// Choose a preset that the message names.
inline constexpr char kPresetInvalid[] = "PRESET_INVALID";
// Choose the preset that fits the weights; the message names it.
inline constexpr char kPresetMismatch[] = "PRESET_MISMATCH";
// Train again: the network's score of the probe is not finite.
inline constexpr char kProbeNotFinite[] = "PROBE_NOT_FINITE";
// Repeat the options of the first run, or use another directory.
inline constexpr char kRunChanged[] = "RUN_CHANGED";
// Correct the option that the message names.
inline constexpr char kScheduleInvalid[] = "SCHEDULE_INVALID";
// Train again: a score of the network is not finite.
inline constexpr char kScoreNotFinite[] = "SCORE_NOT_FINITE";
// Report the fault: map and mask have different sizes.
inline constexpr char kShapeMismatch[] = "SHAPE_MISMATCH";
// Resume with the optimizer state of the same network.
inline constexpr char kStateMismatch[] = "STATE_MISMATCH";
// Use a teacher of a kind that the message lists.
inline constexpr char kTeacherUnknown[] = "TEACHER_UNKNOWN";
// Correct the tensor that the message names.
inline constexpr char kTensorInvalid[] = "TENSOR_INVALID";
// Correct the value as the message says.
inline constexpr char kValueInvalid[] = "VALUE_INVALID";

}  // namespace proad::server::reason

#include "server/rpc/tls_identity.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/util/whole_file.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = size_t{1} << 20;

template <auto free>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    free(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

Bio Over(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// A server cannot ask for a passphrase.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::Status InvalidFile(const fs::path& path, absl::string_view why) {
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", why));
}

// All certificates of a file. An error when there is none.
absl::StatusOr<std::vector<Certificate>> ParseCertificates(const fs::path& path,
                                                           const std::string& pem) {
  const Bio bio = Over(pem);
  std::vector<Certificate> certificates;
  while (X509* const next = PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr)) {
    certificates.emplace_back(next);
  }
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (certificates.empty()) {
    return InvalidFile(path, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
  }
  if (!end) {
    return InvalidFile(path,
                       absl::StrCat("is damaged after ", certificates.size(), " certificates"));
  }
  return certificates;
}

absl::Time EndOf(const Certificate& certificate) {
  std::tm end = {};
  // A certificate whose end cannot be read counts as expired.
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) {
    return absl::UnixEpoch();
  }
  return absl::FromTM(end, absl::UTCTimeZone());
}

absl::Time EarliestEnd(const std::vector<Certificate>& certificates) {
  absl::Time first = absl::InfiniteFuture();
  for (const Certificate& certificate : certificates) first = std::min(first, EndOf(certificate));
  return first;
}

absl::Status CheckKey(const TlsFiles& files, const std::string& pem, const Certificate& leaf) {
  const Bio bio = Over(pem);
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return InvalidFile(files.key,
                       "holds no private key in PEM that can be read without a passphrase");
  }
  if (X509_check_private_key(leaf.get(), key.get()) != 1) {
    return InvalidFile(files.key, absl::StrCat("is not the key of the first certificate in ",
                                               files.certificate.string()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsIdentity> TlsIdentity::Read(const TlsFiles& files) {
  TlsIdentity identity;
  absl::StatusOr<std::string> pem = ReadWholeFile(files.certificate, kMaxFileBytes);
  if (!pem.ok()) return pem.status();
  identity.certificates = *std::move(pem);
  const auto chain = ParseCertificates(files.certificate, identity.certificates);
  if (!chain.ok()) return chain.status();
  identity.expiry = EarliestEnd(*chain);

  absl::StatusOr<std::string> key = ReadWholeFile(files.key, kMaxFileBytes);
  if (!key.ok()) return key.status();
  identity.key = *std::move(key);
  if (absl::Status status = CheckKey(files, identity.key, chain->front()); !status.ok()) {
    return status;
  }
  if (files.client_ca.empty()) return identity;

  absl::StatusOr<std::string> authorities = ReadWholeFile(files.client_ca, kMaxFileBytes);
  if (!authorities.ok()) return authorities.status();
  identity.client_ca = *std::move(authorities);
  const auto accepted = ParseCertificates(files.client_ca, identity.client_ca);
  if (!accepted.ok()) return accepted.status();
  identity.client_ca_expiry = EarliestEnd(*accepted);
  return identity;
}

}  // namespace proad::server

// Certificates for tests, made when they are wanted.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace proad::server {

// Both PEM.
struct CertifiedKey {
  std::string certificate;
  std::string key;
};

// A CA. What OpenSSL refuses ends the test.
class Authority {
 public:
  explicit Authority(const std::string& name)
      : key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
    Fill(certificate_, key_, name, certificate_, absl::Now() + absl::Hours(48));
    Extend(certificate_, NID_basic_constraints, "critical,CA:TRUE");
    Extend(certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
    Sign(certificate_);
  }
  ~Authority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  std::string certificate() const { return ToPem(certificate_); }

  // A new key, certified for `names`, in OpenSSL's words: "DNS:localhost,IP:127.0.0.1".
  CertifiedKey Issue(const std::string& names, absl::Time end = absl::Now() + absl::Hours(24)) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const certificate = X509_new();
    Fill(certificate, key, "leaf", certificate_, end);
    Extend(certificate, NID_subject_alt_name, names);
    Extend(certificate, NID_ext_key_usage, "serverAuth,clientAuth");
    Sign(certificate);
    CertifiedKey issued{ToPem(certificate), ToPem(key)};
    X509_free(certificate);
    EVP_PKEY_free(key);
    return issued;
  }

  // A key as it is written with a passphrase.
  static std::string Encrypted(const std::string& passphrase) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    BIO* const bio = BIO_new(BIO_s_mem());
    Check(PEM_write_bio_PrivateKey(bio, key, EVP_aes_256_cbc(),
                                   reinterpret_cast<const unsigned char*>(passphrase.data()),
                                   static_cast<int>(passphrase.size()), nullptr, nullptr));
    EVP_PKEY_free(key);
    return Take(bio);
  }

 private:
  static void Check(int ok) {
    if (ok != 1) std::abort();
  }

  void Fill(X509* certificate, EVP_PKEY* key, const std::string& name, X509* issuer,
            absl::Time end) {
    Check(X509_set_version(certificate, 2));
    Check(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_));
    X509_NAME* const subject = X509_get_subject_name(certificate);
    Check(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                     reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                                     0));
    Check(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)));
    ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(end - absl::Hours(24 * 90)));
    ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(end));
    Check(X509_set_pubkey(certificate, key));
  }
  void Extend(X509* certificate, int nid, const std::string& value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    Check(X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
  }
  void Sign(X509* certificate) { Check(X509_sign(certificate, key_, EVP_sha256()) > 0 ? 1 : 0); }

  static std::string ToPem(X509* certificate) {
    BIO* const bio = BIO_new(BIO_s_mem());
    Check(PEM_write_bio_X509(bio, certificate));
    return Take(bio);
  }
  static std::string ToPem(EVP_PKEY* key) {
    BIO* const bio = BIO_new(BIO_s_mem());
    Check(PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr));
    return Take(bio);
  }
  static std::string Take(BIO* bio) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(bio, &bytes);
    std::string text(bytes, static_cast<size_t>(size));
    BIO_free(bio);
    return text;
  }

  EVP_PKEY* const key_;
  X509* const certificate_;
  long serial_ = 1000;
};

}  // namespace proad::server

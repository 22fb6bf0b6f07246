// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the default of PBKDF2 in key files
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// encryptedKey is PKCS #8's EncryptedPrivateKeyInfo.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// keyEncryption is what PBES2 says: how a key is made of the password, and how it encrypts.
type keyEncryption struct{ Derivation, Cipher pkix.AlgorithmIdentifier }

type keyDerivation struct {
	Salt       []byte
	Iterations int
	Length     int                      `asn1:"optional"`
	Hash       pkix.AlgorithmIdentifier `asn1:"optional"`
}

// mostIterations bounds what a key file can make us compute.
const mostIterations = 10_000_000

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// keyHashes and keyCiphers are by object identifier; of ciphers, CBC with a key of so many bytes.
var (
	keyHashes = map[string]func() hash.Hash{
		"": sha1.New, "1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.9": sha256.New,
		"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
	}
	keyCiphers = map[string]int{"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32}
)

var (
	errKeyForm     = errors.New("it is encrypted in a way that is not served; make another file of it by openssl pkcs8 -topk8 -v2 aes-256-cbc")
	errKeyPassword = errors.New("the password is wrong")
)

// isEncryptedKey says whether a DER file is an encrypted PKCS #8 key.
func isEncryptedKey(der []byte) bool {
	var k encryptedKey
	_, err := asn1.Unmarshal(der, &k)
	return err == nil
}

// decryptKey decrypts a PKCS #8 key, as OpenSSL writes them: PBES2 with PBKDF2 and AES in CBC mode.
func decryptKey(der []byte, password string) ([]byte, error) {
	var k encryptedKey
	var scheme keyEncryption
	var kdf keyDerivation
	var iv []byte
	if _, err := asn1.Unmarshal(der, &k); err != nil {
		return nil, fmt.Errorf("it is no encrypted PKCS #8 key: %w", err)
	}
	if !k.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, errKeyForm
	}
	if _, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &scheme); err != nil || !scheme.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, errKeyForm
	}
	if _, err := asn1.Unmarshal(scheme.Derivation.Parameters.FullBytes, &kdf); err != nil || kdf.Iterations < 1 || kdf.Iterations > mostIterations {
		return nil, errKeyForm
	}
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil || len(iv) != aes.BlockSize {
		return nil, errKeyForm
	}
	newHash, size := keyHashes[kdf.Hash.Algorithm.String()], keyCiphers[scheme.Cipher.Algorithm.String()]
	if newHash == nil || size == 0 || len(k.Data) == 0 || len(k.Data)%aes.BlockSize != 0 {
		return nil, errKeyForm
	}
	key, err := pbkdf2.Key(newHash, password, kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, k.Data)
	return unpadKey(out)
}

// unpadKey takes the padding away, which is not right where the password was not.
func unpadKey(p []byte) ([]byte, error) {
	n := int(p[len(p)-1])
	if n == 0 || n > aes.BlockSize {
		return nil, errKeyPassword
	}
	for _, b := range p[len(p)-n:] {
		if int(b) != n {
			return nil, errKeyPassword
		}
	}
	p = p[:len(p)-n]
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(p, &whole); err != nil || len(rest) > 0 {
		return nil, errKeyPassword
	}
	return p, nil
}

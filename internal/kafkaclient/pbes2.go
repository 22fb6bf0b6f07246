// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// Keys in PEM with a password are PKCS#8 "ENCRYPTED PRIVATE KEY" (RFC 5958), encrypted by PBES2 with PBKDF2 (RFC 8018), as openssl
// pkcs8 and keytool write them. The older schemes of PKCS#5 and PKCS#12 are not served: nobody should use them any more.

const encryptedKey = "ENCRYPTED PRIVATE KEY"

// encryptedKeyInfo is EncryptedPrivateKeyInfo of RFC 5958.
type encryptedKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// pbes2 are PBES2-params, pbkdf2Params PBKDF2-params of RFC 8018.
type pbes2 struct {
	Derivation, Encryption pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	Length     int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// prfs are the functions that PBKDF2 may use, ciphers those that keys are encrypted by.
var (
	prfs = map[string]func() hash.Hash{
		"1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.8": sha256.New224, "1.2.840.113549.2.9": sha256.New,
		"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
	}
	ciphers = map[string]struct {
		key  int
		make func(key []byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2": {16, aes.NewCipher}, "2.16.840.1.101.3.4.1.22": {24, aes.NewCipher}, "2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7": {24, des.NewTripleDESCipher},
	}
)

// mostIterations bounds what a file can make this process compute.
const mostIterations = 2_000_000

// decryptKeys are PEM blocks in which keys with a password are without it.
func decryptKeys(text []byte, password string) ([]byte, error) {
	var out bytes.Buffer
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out.Bytes(), nil
		}
		if block.Type == encryptedKey {
			if password == "" {
				return nil, errors.New("its key has a password: give it as ssl.key.password")
			}
			plain, err := decryptKey(block.Bytes, password)
			if err != nil {
				return nil, fmt.Errorf("its key: %w", err)
			}
			block = &pem.Block{Type: "PRIVATE KEY", Bytes: plain}
		}
		_ = pem.Encode(&out, block) // a buffer takes all
	}
}

// decryptKey decrypts a key to PKCS#8.
func decryptKey(der []byte, password string) ([]byte, error) {
	var info encryptedKeyInfo
	var scheme pbes2
	var derivation pbkdf2Params
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, errors.New("it is no PKCS#8")
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("it is encrypted by %s, which is not served: openssl pkcs8 -topk8 -v2 aes-256-cbc writes it anew", info.Algorithm.Algorithm)
	}
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, errors.New("it does not say how it is encrypted")
	}
	if !scheme.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("its password is made a key by %s, which is not served: openssl pkcs8 -topk8 -v2 aes-256-cbc writes it anew", scheme.Derivation.Algorithm)
	}
	if _, err := asn1.Unmarshal(scheme.Derivation.Parameters.FullBytes, &derivation); err != nil {
		return nil, errors.New("it does not say how its password is made a key")
	}
	prf := sha1.New // where none is named
	if id := derivation.PRF.Algorithm; len(id) > 0 {
		if prf = prfs[id.String()]; prf == nil {
			return nil, fmt.Errorf("its password is made a key by PBKDF2 with %s, which is not served", id)
		}
	}
	with, ok := ciphers[scheme.Encryption.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("it is encrypted by %s, which is not served: openssl pkcs8 -topk8 -v2 aes-256-cbc writes it anew", scheme.Encryption.Algorithm)
	}
	var iv []byte
	if _, err := asn1.Unmarshal(scheme.Encryption.Parameters.FullBytes, &iv); err != nil {
		return nil, errors.New("it does not say how it is encrypted")
	}
	if derivation.Iterations < 1 || derivation.Iterations > mostIterations {
		return nil, fmt.Errorf("it wants %d iterations; there may be up to %d", derivation.Iterations, mostIterations)
	}
	key, err := pbkdf2.Key(prf, password, derivation.Salt, derivation.Iterations, with.key)
	if err != nil {
		return nil, err
	}
	block, err := with.make(key)
	if err != nil {
		return nil, err
	}
	if size := block.BlockSize(); len(iv) != size || len(info.Data) == 0 || len(info.Data)%size != 0 {
		return nil, errors.New("it is cut")
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	return unpad(plain, block.BlockSize())
}

// errPassword is what a wrong password comes to: the text makes no sense.
var errPassword = errors.New("ssl.key.password is not its password")

// unpad takes the padding of PKCS#7 off, and wants a PKCS#8 before it.
func unpad(text []byte, size int) ([]byte, error) {
	n := int(text[len(text)-1])
	if n < 1 || n > size {
		return nil, errPassword
	}
	for _, b := range text[len(text)-n:] {
		if int(b) != n {
			return nil, errPassword
		}
	}
	text = text[:len(text)-n]
	var value asn1.RawValue
	if rest, err := asn1.Unmarshal(text, &value); err != nil || len(rest) > 0 {
		return nil, errPassword
	}
	return text, nil
}

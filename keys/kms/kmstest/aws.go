package kmstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"net/http"
	"strings"
)

// AWS is AWS KMS at an endpoint. Keys go by their ids or aliases (alias/NAME).
type AWS struct {
	service
	accessKey string
}

// NewAWS is an AWS KMS without keys, for those who sign requests with an access
// key of this id.
func NewAWS(accessKey string) *AWS { return &AWS{accessKey: accessKey} }

// ServeHTTP implements http.Handler.
func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.met(w, r) {
		return
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+a.accessKey+"/") {
		awsError(w, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	}
	var ask struct {
		KeyID            string `json:"KeyId"`
		Message          []byte
		MessageType      string
		SigningAlgorithm string
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		awsError(w, "SerializationException", err.Error())
		return
	}
	key, spki := a.key(ask.KeyID)
	if key == nil {
		awsError(w, "NotFoundException", "Key "+ask.KeyID+" does not exist")
		return
	}
	switch algorithms := algorithmsOf(key.Public()); r.Header.Get("X-Amz-Target") {
	case "TrentService.GetPublicKey":
		awsAnswer(w, object{"KeyId": ask.KeyID, "PublicKey": spki, "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": algorithms})
	case "TrentService.DescribeKey":
		awsAnswer(w, object{"KeyMetadata": object{"KeyId": ask.KeyID, "SigningAlgorithms": algorithms}})
	case "TrentService.Sign":
		if len(algorithms) == 0 || ask.MessageType != "DIGEST" || ask.SigningAlgorithm != algorithms[0] {
			awsError(w, "ValidationException", "not a digest, or another algorithm")
			return
		}
		sig, err := a.sign(key, ask.Message)
		if err != nil {
			awsError(w, "KMSInternalException", err.Error())
			return
		}
		awsAnswer(w, object{"KeyId": ask.KeyID, "Signature": sig, "SigningAlgorithm": ask.SigningAlgorithm})
	default:
		awsError(w, "UnknownOperationException", "")
	}
}

// algorithmsOf is empty for keys that do not sign, as AWS has it for RSA keys
// that encrypt.
func algorithmsOf(pub any) []string {
	ec, ok := pub.(*ecdsa.PublicKey)
	switch {
	case !ok:
		return []string{}
	case ec.Curve == elliptic.P384():
		return []string{"ECDSA_SHA_384"}
	}
	return []string{"ECDSA_SHA_256"}
}

func awsAnswer(w http.ResponseWriter, body object) {
	answer(w, http.StatusOK, "application/x-amz-json-1.1", body)
}

func awsError(w http.ResponseWriter, kind, text string) {
	answer(w, http.StatusBadRequest, "application/x-amz-json-1.1", object{"__type": kind, "message": text})
}
